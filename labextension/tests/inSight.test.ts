import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { Build } from '../src/api/contract';
import type { Refusal } from '../src/model/news';
import { activeBuilds, type Subject } from '../src/model/state';
import { environmentName } from '../src/views/words';
import { settled } from './held';
import { answer, kernel, model, ready, server, setUp } from './setUp';
import { aBuild, aSnapshot, DIGEST, RESULT } from './things';

const OTHER = `sha256:${'cd'.repeat(32)}`;

let refused: Refusal[];

setUp(new Date(2026, 10, 24, 12));

beforeEach(() => {
  refused = [];
  model.refused.connect((_, refusal) => void refused.push(refusal));
});

describe('the notebook', () => {
  const notebook = (path: string): Subject => ({ ...kernel(path), path });

  it('goes into the image if a person chooses it, and no other notebook of the environment does', async () => {
    model.choose(notebook('a.ipynb'), false);
    void model.refresh();
    await settled();
    await answer();
    model.edit({ notebook: true });
    await model.start();
    expect(server.started[0]).toMatchObject({ include: 'a.ipynb' });
    model.choose(notebook('b.ipynb'), true);
    await answer();
    await model.start();
    expect(server.started[1]).not.toHaveProperty('include');
  });

  it('gives way to a folder that a person includes', async () => {
    model.choose(notebook('a.ipynb'), false);
    void model.refresh();
    await settled();
    await answer();
    model.edit({ notebook: true, include: 'project' });
    await model.start();
    expect(server.started[0]).toMatchObject({ include: 'project' });
  });
});

describe('the environment in sight', () => {
  it('is the one that is built, with its folder and its identity', async () => {
    await ready();
    await model.start();
    expect(server.started).toMatchObject([{ prefix: '/opt/sci', identity: DIGEST, reference: model.state.form.reference }]);
  });

  it('is built if a person starts right after a choice, and its packages are the same', async () => {
    await ready();
    model.deciding.add([{ kind: 'exclude', value: '/data.bin' }]);
    server.changedTo = { digest: DIGEST, identity: OTHER };
    await model.start();
    expect(server.started).toMatchObject([{ identity: OTHER, exclude: ['/data.bin'] }]);
    model.deciding.add([{ kind: 'exclude', value: '/more.bin' }]);
    server.changedTo = { digest: OTHER, identity: OTHER };
    void model.start();
    await settled();
    expect(server.started).toHaveLength(1);
  });

  it('is displayed again, and nothing is built, if it has changed when a person starts a build', async () => {
    await ready();
    model.prefer({ tagStyle: 'digest' });
    server.changedTo = { digest: DIGEST, identity: OTHER, drift: { ...aSnapshot().drift, modified: { count: 1, bytes: 1, first: [] } } };
    const started = model.start();
    await settled();
    await answer(server.changedTo);
    await started;
    expect(server.started).toEqual([]);
    expect(model.state).toMatchObject({ starting: false, outdated: true, snapshot: { identity: OTHER } });
    expect(model.state.form.reference).toMatch(/:cdcdcdcdcdcd$/);
    await model.start();
    expect(server.started).toMatchObject([{ identity: OTHER, reference: model.state.form.reference }]);
    expect(model.state.outdated).toBe(false);
  });

  it('is not built either if its kernel runs in another environment meanwhile', async () => {
    await ready();
    model.edit({ reference: 'r.org/mine:1' });
    server.changedTo = { prefix: '/opt/other', name: 'other' };
    void model.start();
    await settled();
    await answer(server.changedTo);
    expect(server.started).toEqual([]);
    // The name that a person wrote belongs to the first environment.
    expect(model.state.form).toMatchObject({ edited: false, reference: 'registry.lab.org/team/other:2026-11-24' });
  });

  it('has a notification if it changed and the person has left the view', async () => {
    await ready();
    server.changedTo = { identity: OTHER };
    void model.start();
    model.choose(kernel('b'), false);
    await settled();
    expect(server.started).toEqual([]);
    expect(refused).toMatchObject([{ fault: { code: 'environment_changed' } }]);
  });

  it('is built although the person has left the view', async () => {
    await ready();
    const { reference } = model.state.form;
    void model.start();
    model.choose(kernel('b'), false);
    await settled();
    expect(server.started).toMatchObject([{ prefix: '/opt/sci', reference }]);
    expect(model.state.shown).toBeNull();
  });

  it('keeps the button disabled until it has been read, and displays the reason if it cannot be read', async () => {
    await ready();
    server.contents = () => Promise.reject({ code: 'not_found', message: 'The kernel has ended', hint: '' });
    const started = model.start();
    expect(model.state.starting).toBe(true);
    await started;
    expect(model.state).toMatchObject({ starting: false, startFault: { code: 'not_found' } });
    expect(server.started).toEqual([]);
  });

  it('is read again when packages were installed, and only then', async () => {
    await ready();
    const asked = server.snapshots.length;
    model.attend(true);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(server.stamps).toHaveLength(5);
    expect(server.snapshots).toHaveLength(asked);
    server.changedTo = { stamp: 'after pip install', digest: OTHER };
    await vi.advanceTimersByTimeAsync(5000);
    await answer(server.changedTo);
    expect(model.state.snapshot?.digest).toBe(OTHER);
    const read = server.snapshots.length;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(server.snapshots).toHaveLength(read);
  });

  it('is not looked at while the panel is hidden, or while a build is displayed', async () => {
    await ready();
    model.attend(true);
    model.attend(false);
    const before = server.stamps.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.stamps).toHaveLength(before);
    await model.start();
    model.attend(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.stamps).toHaveLength(before);
  });

  it('keeps the name that a person wrote, and no other environment has it', async () => {
    await ready();
    model.edit({ reference: 'r.org/mine:1' });
    // The kernel was restarted with another interpreter: its id is the same.
    void model.readEnvironment();
    await settled();
    await answer({ prefix: '/opt/other', name: 'other' });
    expect(model.state.form.reference).toBe('registry.lab.org/team/other:2026-11-24');
    void model.readEnvironment();
    await settled();
    await answer();
    expect(model.state.form.reference).toBe('r.org/mine:1');
  });

  it('keeps its name if a plan is of another environment', async () => {
    await ready();
    model.edit({ reference: 'r.org/mine:1' });
    await vi.advanceTimersByTimeAsync(1000);
    server.snapshots.at(-1)?.answer({ prefix: '/opt/other', name: 'other' });
    await settled();
    expect(model.state.form.reference).toBe('registry.lab.org/team/other:2026-11-24');
  });
});

describe('the button of a notebook', () => {
  const other = aBuild({ state: 'finished', result: RESULT, request: { ...aBuild().request, prefix: '/opt/b' } });

  it('displays the environment of the notebook, not the build of another one', async () => {
    server.known = [other];
    await ready();
    model.show(other.id);
    model.showOwn();
    expect(model.state.shown).toBeNull();
  });

  it('leaves a comparison', async () => {
    server.known = [other];
    await ready();
    await model.compare(other, other);
    model.showOwn();
    expect(model.state.comparison).toBeNull();
  });

  it('goes on displaying a build of the notebook', async () => {
    await ready();
    await model.start();
    const { shown } = model.state;
    model.showOwn();
    expect(model.state.shown).toBe(shown);
    expect(shown).not.toBeNull();
  });

  it('displays no build before the environment of the notebook is known', async () => {
    server.known = [other];
    await ready();
    model.show(other.id);
    model.choose(kernel('c'), true);
    model.showOwn();
    expect(model.state.shown).toBeNull();
  });
});

describe('the name of the environment of a build', () => {
  it('is that of its folder, also for a build of its image', () => {
    const build = aBuild({ state: 'finished', result: RESULT });
    const image = { ...build.request, prefix: '', reference: `${RESULT.reference}@${DIGEST}` };
    expect(environmentName(build, [])).toBe('sci');
    expect(environmentName(aBuild({ command: 'verify', request: image }), [build])).toBe('sci');
    expect(environmentName(aBuild({ command: 'verify', request: image }), [])).toBe('sci:1');
  });
});

describe('builds at the same time', () => {
  it('are listed, the running ones first, then the waiting ones in their order', async () => {
    const build = (id: number, change: Partial<Build>): Build => aBuild({ id: `${id}`.repeat(16), created: id, ...change });
    server.known = [
      build(5, { state: 'queued', position: 2 }),
      build(4, { state: 'queued', position: 1 }),
      build(3, { state: 'running' }),
      build(2, { state: 'running' }),
      build(1, { state: 'failed' })
    ];
    await model.loadBuilds();
    expect(activeBuilds(model.state).map(({ created }) => created)).toEqual([2, 3, 4, 5]);
  });
});

describe('a build that another window has started', () => {
  it('is found while the panel is visible, and while another build is followed', async () => {
    await ready();
    model.attend(true);
    server.known = [aBuild({ id: '7'.repeat(16), state: 'running' })];
    await vi.advanceTimersByTimeAsync(5000);
    expect(activeBuilds(model.state).map(({ id }) => id)).toEqual(['7'.repeat(16)]);
    server.followers.get('7'.repeat(16))?.others([aBuild({ id: '8'.repeat(16), state: 'queued', position: 1 })]);
    expect(activeBuilds(model.state).map(({ id }) => id)).toEqual(['7'.repeat(16), '8'.repeat(16)]);
    expect(server.followers.has('8'.repeat(16))).toBe(true);
  });
});

describe('a failed build', () => {
  it('can be edited: the form has its values', async () => {
    await ready();
    const request = {
      ...aBuild().request,
      reference: 'r.org/typo:1',
      base: 'debian:13',
      include: 'src',
      strict: true,
      cache_from: ['r.org/a:1', 'r.org/b:1'],
      variables: true
    };
    model.editAgain(aBuild({ request }));
    expect(model.state).toMatchObject({
      shown: null,
      form: {
        reference: 'r.org/typo:1',
        edited: true,
        destination: 'push',
        base: 'debian:13',
        include: 'src',
        strict: true,
        cacheFrom: 'r.org/a:1 r.org/b:1',
        variables: true
      }
    });
    model.editAgain(aBuild({ request: { ...request, push: false, archive: 'a.tar' } }));
    expect(model.state.form).toMatchObject({ destination: 'archive', archive: 'a.tar' });
  });
});

describe('licences', () => {
  it('are loaded once for an environment, and again after a change', async () => {
    const asked = vi.spyOn(server, 'licenses');
    await ready();
    expect(model.state.licenses).toEqual(server.licensed);
    model.edit({ reference: 'r.org/other:1' });
    await vi.advanceTimersByTimeAsync(1000);
    await answer();
    expect(asked).toHaveBeenCalledTimes(1);
    void model.readEnvironment();
    await settled();
    await answer({ digest: OTHER });
    expect(asked).toHaveBeenCalledTimes(2);
  });
});
