import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { Build, Difference, Snapshot, Status } from '../src/api/contract';
import type { Refusal } from '../src/model/news';
import type { Subject } from '../src/model/state';
import { held, settled } from './held';
import { kernel, model, server, setUp } from './setUp';
import { aBuild, aSnapshot, aStatus, RESULT } from './things';

const TODAY = '2026-11-24';
const BUSY = { code: 'queue_full', message: 'Too many', hint: 'Later' };

/** Wait until the plan is requested after the last key. */
const typed = async (): Promise<void> => void (await vi.advanceTimersByTimeAsync(1000));

let refused: Refusal[];

setUp(new Date(2026, 10, 24, 12));

beforeEach(() => {
  refused = [];
  model.refused.connect((_, refusal) => void refused.push(refusal));
});

/** The panel after the environment of a kernel has been read and the plan has been compared. */
async function ready(id = 'a', change: Partial<Snapshot> = {}): Promise<void> {
  const asked = server.snapshots.length;
  model.choose(kernel(id), false);
  void model.refresh();
  await settled();
  for (const place of [asked, asked + 1]) {
    server.snapshots[place]?.answer({ name: id, prefix: `/opt/${id}`, ...change });
    await settled();
  }
  expect(server.snapshots).toHaveLength(asked + 2);
}

describe('when the person changes to another notebook while the panel is hidden', () => {
  it('the environment of the earlier kernel is not displayed for the new kernel', async () => {
    model.choose(kernel('a'), true);
    model.choose(kernel('b'), false);
    server.snapshots[0]?.answer({ name: 'a' });
    await settled();
    expect(model.state).toMatchObject({ subject: kernel('b'), snapshot: null, reading: false });
    expect(server.snapshots).toHaveLength(1);
  });

  it('neither is the reason why it cannot be read', async () => {
    model.choose(kernel('a'), true);
    model.choose(kernel('b'), false);
    server.snapshots[0]?.fail({ code: 'not_a_conda_kernel', message: 'no', hint: '' });
    await settled();
    expect(model.state.snapshotFault).toBeNull();
  });

  it('neither is its plan', async () => {
    await ready();
    model.edit({ reference: 'r.org/a:1' });
    await typed();
    model.choose(kernel('b'), false);
    expect(model.state.planning).toBe(false);
    server.snapshots[2]?.answer({ name: 'a' });
    await settled();
    expect(model.state.snapshot).toBeNull();
  });

  it('nothing is built before the new environment is known: the image would get the name of the earlier environment', async () => {
    await ready();
    model.choose(kernel('b'), false);
    await model.start();
    expect(server.started).toEqual([]);
    expect(model.state.form.reference).toBe('');
  });

  it('the environment of an earlier kernel is read again', async () => {
    model.choose(kernel('a'), true);
    model.choose(kernel('b'), false);
    model.choose(kernel('a'), true);
    server.snapshots[0]?.answer({ name: 'older' });
    server.snapshots[1]?.answer({ name: 'newer' });
    await settled();
    expect(model.state.snapshot?.name).toBe('newer');
  });
});

describe('the values that a person wrote for an environment', () => {
  it('are not used for another environment, and are restored for their own', async () => {
    await ready('a');
    model.edit({ reference: 'r.org/mine:1', archive: 'a.tar', variables: true, strict: true });
    await ready('b');
    expect(model.state.form).toMatchObject({ archive: '', variables: false, strict: true });
    expect(model.state.form.reference).toMatch(/^registry.lab.org\/team\/b:/);
    await ready('a');
    expect(model.state.form).toMatchObject({ reference: 'r.org/mine:1', archive: 'a.tar', variables: true });
  });

  it('are used for every kernel of the environment', async () => {
    await ready('a');
    model.edit({ reference: 'r.org/mine:1' });
    await ready('another', { prefix: '/opt/a' });
    expect(model.state.form.reference).toBe('r.org/mine:1');
  });
});

describe('a request whose answer is no longer needed', () => {
  it('is aborted, because it would hold one of the few connections of the browser', async () => {
    await ready();
    for (const reference of ['r.org/a:1', 'r.org/b:1', 'r.org/c:1']) {
      model.edit({ reference });
      await typed();
    }
    expect(server.snapshots.slice(2).map(({ signal }) => signal?.aborted)).toEqual([true, true, false]);
    model.choose(kernel('b'), true);
    model.choose(kernel('c'), true);
    expect(server.snapshots.slice(2).map(({ signal }) => signal?.aborted)).toEqual([true, true, true, true, false]);
  });
});

describe('a plan', () => {
  it('that was requested before the last key is not displayed while the person types', async () => {
    await ready();
    model.edit({ reference: 'r.org/a:1' });
    await typed();
    model.edit({ reference: 'r.org/b:1' });
    server.snapshots[2]?.answer({ name: 'of a:1' });
    await settled();
    expect(model.state.snapshot?.name).not.toBe('of a:1');
  });

  it('is requested again after a change of the settings', async () => {
    await ready();
    model.edit({ reference: 'r.org/a:1' });
    await typed();
    model.prefer({ base: 'debian:13' });
    server.snapshots[2]?.answer({ name: 'on the base before' });
    await typed();
    expect(model.state.snapshot?.name).toBe('a');
    expect(server.snapshots[3]?.request.base).toBe('debian:13');
  });

  it('for one name is not displayed for another name without a plan', async () => {
    const plan = { packages: 3, packages_changed: 0, layers_reused: 1, bytes_to_push: 0 };
    const layers = [{ kind: 'package' as const, title: 'x', key: 'k', packages: ['x-1-0'], size: 5, state: 'there' as const, source: '' }];
    await ready('a', { plan: { ...aSnapshot().plan, ...plan, layers } });
    model.edit({ reference: 'r.org/denied:1' });
    await typed();
    server.snapshots[2]?.fail({ code: 'registry_denied', message: 'No', hint: '' });
    await settled();
    expect(model.state.snapshot?.plan).toMatchObject({ compared: false, unavailable: { code: 'registry_denied' } });
    expect(model.state.snapshot?.plan.layers[0]?.state).toBe('built');
  });

  it('is not requested for an invalid name, and the earlier plan is removed', async () => {
    await ready();
    model.edit({ reference: 'No Name' });
    await typed();
    expect(server.snapshots).toHaveLength(2);
    expect(model.state.snapshot?.plan).toMatchObject({ compared: false, unavailable: null });
  });

  it('is requested when the settings name a registry, and not before', async () => {
    const settings = held<Status>(server, 'settings');
    model.choose(kernel('a'), false);
    void model.refresh();
    await settled();
    server.snapshots[0]?.answer({ name: 'a', prefix: '/opt/a' });
    await settled();
    expect(model.state.form.reference).toBe(`a:${TODAY}`);
    expect(server.snapshots).toHaveLength(1);
    settings[0]?.answer(aStatus());
    await settled();
    expect(model.state.form.reference).toBe(`registry.lab.org/team/a:${TODAY}`);
    expect(server.snapshots[1]?.request.reference).toBe(`registry.lab.org/team/a:${TODAY}`);
  });

  it('of a changed environment has another name', async () => {
    model.prefer({ tagStyle: 'digest' });
    await ready();
    server.known = [aBuild({ state: 'running' })];
    await model.loadBuilds();
    server.end(aBuild().id, { state: 'finished', result: RESULT });
    await settled();
    server.snapshots[2]?.answer({ name: 'a', digest: `sha256:${'cd'.repeat(32)}` });
    await settled();
    expect(model.state.form.reference).toMatch(/:cdcdcdcdcdcd$/);
    expect(server.snapshots[3]?.request.reference).toBe(model.state.form.reference);
  });
});

describe('the status', () => {
  it('of an earlier request does not replace the status of a later request', async () => {
    const statuses = held<Status>(server, 'status');
    void model.refresh();
    await settled();
    void model.refresh();
    await settled();
    statuses[1]?.answer({ ...aStatus(), version: 'newer' });
    statuses[0]?.answer({ ...aStatus(), version: 'older' });
    await settled();
    expect(model.state.status?.version).toBe('newer');
  });
});

describe('the answer to a click, when the person has changed the view', () => {
  it('does not open the build, and the button of the other environment is enabled', async () => {
    await ready('a');
    const starts = held<Build>(server, 'start');
    void model.start();
    await settled();
    await ready('b');
    expect(model.state.starting).toBe(false);
    starts[0]?.answer(aBuild({ state: 'running' }));
    await settled();
    expect(model.state.shown).toBeNull();
    expect(model.state.builds.map(({ id }) => id)).toEqual([aBuild().id]);
    expect(server.followers.has(aBuild().id)).toBe(true);
  });

  it('does not display its error in the other environment or in another build', async () => {
    server.known = [aBuild({ state: 'finished', result: RESULT })];
    await ready('a');
    const reference = model.state.form.reference;
    const starts = held<Build>(server, 'start');
    void model.start();
    await settled();
    model.show(aBuild().id);
    starts[0]?.fail(BUSY);
    await settled();
    expect(model.state.startFault).toBeNull();
    expect(refused).toMatchObject([{ asked: { reference }, fault: BUSY }]);
    model.show(null);
    void model.start();
    await settled();
    await ready('b');
    starts[1]?.fail(BUSY);
    await settled();
    expect(model.state.startFault).toBeNull();
    expect(refused).toHaveLength(2);
  });

  it('opens the build if the notebook has changed while a build was displayed', async () => {
    await ready('a');
    const before = aBuild({ state: 'finished', result: RESULT });
    server.known = [before];
    await model.loadBuilds();
    model.show(before.id);
    const starts = held<Build>(server, 'start');
    void model.retry(before);
    model.choose(kernel('b'), false);
    starts[0]?.answer(aBuild({ id: '9'.repeat(16), state: 'running' }));
    await settled();
    expect(model.state.shown).toBe('9'.repeat(16));
  });

  it('does not display the error of a cancel in another build', async () => {
    const [one, other] = [aBuild({ id: '1'.repeat(16), state: 'running' }), aBuild({ id: '2'.repeat(16) })];
    server.known = [one, other];
    await model.loadBuilds();
    const cancels = held<Build>(server, 'cancel');
    model.show(one.id);
    void model.cancel(one.id);
    model.show(other.id);
    cancels[0]?.fail(BUSY);
    await settled();
    expect(model.state.startFault).toBeNull();
    expect(refused).toMatchObject([{ asked: { reference: one.request.reference }, fault: BUSY }]);
  });

  it('does not display the error of a deletion in another build', async () => {
    const [one, other] = [aBuild({ id: '1'.repeat(16) }), aBuild({ id: '2'.repeat(16) })];
    server.known = [one, other];
    await model.loadBuilds();
    const forgets = held<void>(server, 'forget');
    void model.forget(one.id);
    model.show(other.id);
    forgets[0]?.fail(BUSY);
    await settled();
    expect(model.state.startFault).toBeNull();
    expect(refused).toHaveLength(1);
  });

  it('with an error is not displayed after a change of the view', async () => {
    await ready('a');
    server.known = [aBuild()];
    await model.loadBuilds();
    server.refuses = BUSY;
    await model.start();
    expect(model.state.startFault).toEqual(BUSY);
    model.show(aBuild().id);
    expect(model.state.startFault).toBeNull();
  });
});

describe('the changes since the previous image', () => {
  it('are those since the current previous image', async () => {
    const build = (id: string, created: number): Build =>
      aBuild({ id: id.repeat(16), created, state: 'finished', result: { ...RESULT, environment: id } });
    server.known = [build('3', 300), build('2', 200), build('1', 100)];
    await model.loadBuilds();
    const differences = held<Difference>(server, 'difference');
    model.show('3'.repeat(16));
    await model.forget('2'.repeat(16));
    model.show('3'.repeat(16));
    const difference = { equal: true, before: '', after: '', same: 1, changes: [] };
    differences[1]?.answer(difference);
    await settled();
    differences[0]?.answer(difference);
    await settled();
    expect(model.state.since?.before.id).toBe('1'.repeat(16));
  });

  it('between two images are not displayed after the person has left the comparison', async () => {
    const [before, now] = [aBuild({ id: '1'.repeat(16) }), aBuild({ id: '2'.repeat(16) })];
    const differences = held<Difference>(server, 'difference');
    void model.compare(before, now);
    model.endComparison();
    differences[0]?.answer({ equal: true, before: '', after: '', same: 1, changes: [] });
    await settled();
    expect(model.state.comparison).toBeNull();
  });
});
