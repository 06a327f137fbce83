import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { Status } from '../src/api/contract';
import { PanelModel } from '../src/model/panel';
import { destinationOf, isMade, obstacleOf } from '../src/model/possible';
import { archiveOf, formRequest, snapshotRequest } from '../src/model/request';
import { INITIAL, type Form, type PanelState } from '../src/model/state';
import { FakeServer } from './fakeServer';
import { settled } from './held';
import { aBuild, aSnapshot, aStatus } from './things';

const ENGINE = { code: 'engine_unavailable', message: 'No container engine is running.', hint: 'Start Docker.' };
const BASE = { code: 'base_unavailable', message: 'The base image is not available: no answer.', hint: '' };

function statusWith(registry: string, faults: Partial<Record<'engine' | 'base' | 'store', typeof BASE>> = {}): Status {
  const status = aStatus();
  const probes = Object.entries(faults).map(([subject, fault]) => ({
    ...{ subject: subject as 'engine', name: subject, works: false, detail: '', fault, seconds: 1 },
    instead: subject === 'base' ? ['lab.org/debian:12-slim'] : []
  }));
  return { ...status, settings: { ...status.settings, registry }, probes };
}

function stateWith(form: Partial<Form>, status: Status | null = statusWith('')): PanelState {
  return { ...INITIAL, status, snapshot: aSnapshot(), form: { ...INITIAL.form, reference: 'sci:1', ...form } };
}

describe('the destination of an image', () => {
  it('is an archive where no registry is known, and a registry where one is', () => {
    expect(destinationOf(stateWith({}))).toBe('archive');
    expect(destinationOf(stateWith({}, null))).toBe('archive');
    expect(destinationOf(stateWith({}, statusWith('lab.org/team')))).toBe('push');
    expect(destinationOf(stateWith({ reference: 'lab.org/team/sci:1' }))).toBe('push');
    expect(destinationOf(stateWith({ reference: 'ada/sci:1' }))).toBe('archive');
  });

  it('is what a person or a setting chose', () => {
    expect(destinationOf(stateWith({ destination: 'load' }, statusWith('lab.org/team')))).toBe('load');
    expect(destinationOf(stateWith({ destination: 'push' }))).toBe('push');
  });

  it('is the same in the request of the build', () => {
    expect(formRequest(aSnapshot(), stateWith({}))).toMatchObject({ push: false, load: false, archive: 'sci-1.tar' });
    expect(formRequest(aSnapshot(), stateWith({}, statusWith('lab.org/team')))).toMatchObject({ push: true, archive: '' });
  });
});

describe('a name without a registry', () => {
  it('is neither pushed nor compared, so that Docker Hub is not asked', () => {
    for (const reference of ['sci:1', 'ada/sci:1']) {
      const state = stateWith({ reference, destination: 'push' });
      expect(obstacleOf(state)).toEqual({ reason: 'registry' });
      expect(snapshotRequest({ prefix: '/opt/sci' }, state)).not.toHaveProperty('reference');
    }
    expect(obstacleOf(stateWith({ reference: 'docker.io/ada/sci:1', destination: 'push' }))).toBeNull();
    expect(obstacleOf(stateWith({ destination: 'push' }, statusWith('lab.org/team')))).toBeNull();
  });

  it('is enough for an archive and for an engine', () => {
    expect(obstacleOf(stateWith({ destination: 'archive' }))).toBeNull();
    expect(obstacleOf(stateWith({ destination: 'load' }))).toBeNull();
    expect(obstacleOf(stateWith({ reference: 'Not a name' }))).toEqual({ reason: 'name' });
  });
});

describe('a part of the server that does not work', () => {
  it('stops the builds that need it, and no others', () => {
    const noEngine = statusWith('lab.org/team', { engine: ENGINE });
    expect(obstacleOf(stateWith({}, noEngine), 'push')).toBeNull();
    expect(obstacleOf(stateWith({}, noEngine), 'archive')).toBeNull();
    expect(obstacleOf(stateWith({}, noEngine), 'load')).toEqual({ reason: 'fault', fault: ENGINE, instead: [] });
    expect(obstacleOf(stateWith({ engine: 'docker' }, noEngine), 'push')).toEqual({ reason: 'fault', fault: ENGINE, instead: [] });
  });

  it('stops a push if the registry does not answer, and no other build', () => {
    const fault = { code: 'registry_unreachable', message: 'lab.org does not answer.', hint: '' };
    const state = stateWith({ reference: 'lab.org/team/sci:1' });
    const plan = { ...aSnapshot().plan, unavailable: fault };
    const silent = { ...state, snapshot: { ...aSnapshot(), plan } };
    expect(obstacleOf(silent)).toEqual({ reason: 'fault', fault, instead: [] });
    expect(obstacleOf(silent, 'archive')).toBeNull();
    const refused = { ...plan, unavailable: { ...fault, code: 'registry_unauthorized' } };
    expect(obstacleOf({ ...state, snapshot: { ...aSnapshot(), plan: refused } })).toBeNull();
  });

  it('stops no build on another base', () => {
    const noBase = statusWith('', { base: BASE });
    expect(obstacleOf(stateWith({}, noBase))).toEqual({ reason: 'fault', fault: BASE, instead: ['lab.org/debian:12-slim'] });
    expect(obstacleOf(stateWith({ base: 'debian:12-slim' }, noBase))).toEqual({ reason: 'fault', fault: BASE, instead: ['lab.org/debian:12-slim'] });
    expect(obstacleOf(stateWith({ base: 'oci-archive:base.tar' }, noBase))).toBeNull();
  });
});

it('the archive of a build has a path below the root folder and a name, with and without its kind', () => {
  const archived = (archive: string): object => archiveOf(aBuild({ request: { ...aBuild().request, archive } }));
  expect(archived('out/a:b.tar')).toEqual({ kind: 'oci-archive', path: 'out/a:b.tar', name: 'a:b.tar' });
  expect(archived('docker-archive:x.tar')).toEqual({ kind: 'docker-archive', path: 'x.tar', name: 'x.tar' });
});

describe('the status', () => {
  let server: FakeServer;
  let model: PanelModel;

  beforeEach(() => {
    vi.useFakeTimers();
    server = new FakeServer();
    model = new PanelModel(server);
    return () => {
      model.dispose();
      vi.useRealTimers();
    };
  });

  it('has the settings before the probes have ended', async () => {
    server.status = () => new Promise(() => undefined);
    void model.refresh();
    await settled();
    expect(model.state.status?.settings.registry).toBe('registry.lab.org/team');
  });

  it('is asked for again by a person', async () => {
    server.now = statusWith('', { base: BASE });
    await model.probe();
    expect(model.state.status?.probes).toHaveLength(1);
    server.now = statusWith('');
    await model.probe();
    expect(model.state.status?.probes).toEqual([]);
  });
});

describe('the bases that are offered', () => {
  it('are images of the same name, or a Debian that is made', () => {
    expect(isMade('debian-packages:bookworm')).toBe(true);
    expect(isMade('lab.org/debian:12-slim')).toBe(false);
    expect(isMade('oci-archive:debian-packages.tar')).toBe(false);
  });
});
