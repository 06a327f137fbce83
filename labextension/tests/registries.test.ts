import { beforeEach, describe, expect, it, vi } from 'vitest';

import { PanelModel } from '../src/model/panel';
import { movedTo, registriesOf } from '../src/model/registries';
import { INITIAL } from '../src/model/state';
import { FakeServer } from './fakeServer';
import { settled } from './held';
import { aBuild, aStatus, RESULT } from './things';

function pushed(reference: string): ReturnType<typeof aBuild> {
  return aBuild({ state: 'finished', result: { ...RESULT, reference } });
}

describe('the registries to choose from', () => {
  it('are those of the settings, of earlier images, and of the logins, each once', () => {
    const builds = [pushed('lab.org/ada/x:1'), pushed('registry.lab.org/team/y:1'), pushed('lab.org/ada/z:1')];
    const logins = [
      { registry: 'docker.io', user: 'Ada', problem: '' },
      { registry: 'lab.org', user: 'ada', problem: '' },
      { registry: 'ghcr.io', user: '<token>', problem: '' }
    ];
    expect(registriesOf({ ...INITIAL, status: aStatus(), builds, logins })).toEqual([
      { name: 'registry.lab.org/team', from: 'setting', user: '' },
      { name: 'lab.org/ada', from: 'history', user: 'ada' },
      { name: 'docker.io/ada', from: 'login', user: 'Ada' },
      { name: 'ghcr.io', from: 'login', user: '<token>' }
    ]);
  });

  it('have no place of an archive, of a failed build or of another command', () => {
    const request = { ...aBuild().request, push: false, archive: 'x.tar' };
    const builds = [aBuild(), { ...pushed('a.org/x:1'), request }, { ...pushed('b.org/x:1'), command: 'verify' as const }];
    expect(registriesOf({ ...INITIAL, builds })).toEqual([]);
  });

  it('take the place of the registry and path in the name', () => {
    expect(movedTo('ghcr.io/ada', 'registry.lab.org/team/sci:1')).toBe('ghcr.io/ada/sci:1');
    expect(movedTo('lab.org', 'sci:1')).toBe('lab.org/sci:1');
  });
});

describe('the permission to push', () => {
  let server: FakeServer;
  let model: PanelModel;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.setSystemTime(new Date('2026-11-24T12:00:00'));
    server = new FakeServer();
    model = new PanelModel(server);
    return () => {
      model.dispose();
      vi.useRealTimers();
    };
  });

  /** Answer all snapshots until no other is asked for. */
  async function planned(): Promise<void> {
    await settled();
    for (let count = -1; count !== server.snapshots.length; await settled()) {
      count = server.snapshots.length;
      server.snapshots.forEach(({ answer }) => answer({ name: 'sci' }));
    }
  }

  async function edited(reference: string): Promise<void> {
    model.edit({ reference });
    await vi.advanceTimersByTimeAsync(1000);
    await planned();
  }

  beforeEach(async () => {
    model.choose({ source: { kernel_id: 'k' }, title: 'a.ipynb' }, false);
    void model.refresh();
    await planned();
  });

  it('is asked for once for a repository, and again for another one and after a login', async () => {
    expect(server.permissions).toEqual(['registry.lab.org/team/sci:2026-11-24']);
    expect(model.state.permission?.allowed).toBe(true);
    await edited('registry.lab.org/team/sci:v2');
    expect(server.permissions).toHaveLength(1);
    await edited('ghcr.io/ada/sci:v2');
    expect(server.permissions[1]).toBe('ghcr.io/ada/sci:v2');
    await model.signIn('ghcr.io', 'ada', 'canary');
    await settled();
    expect(server.permissions[2]).toBe('ghcr.io/ada/sci:v2');
  });

  it('is neither asked for nor displayed for an archive or for Docker Hub that nobody named', async () => {
    model.edit({ destination: 'archive' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(model.state.permission).toBeNull();
    server.now = { ...aStatus(), settings: { ...aStatus().settings, registry: '' } };
    await model.probe();
    model.edit({ destination: 'push' });
    await edited('ada/sci:v1');
    expect(server.permissions).toHaveLength(1);
  });
});
