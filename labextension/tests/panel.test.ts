import { describe, expect, it, vi } from 'vitest';

import type { Build, Snapshot } from '../src/api/contract';
import { rebasedReference } from '../src/model/destination';
import { connectionOf, progressOf, type Subject } from '../src/model/state';
import { LITTLE_BUILD } from './events';
import { settled } from './held';
import { kernel, model, server, setUp } from './setUp';
import { aBuild, DIGEST, RESULT } from './things';

setUp(new Date(2026, 10, 24, 12));

/** The panel after its environment has been read and the plan has been compared. */
async function ready(change: Partial<Snapshot> = {}): Promise<void> {
  model.choose(kernel('a'), false);
  void model.refresh();
  await settled();
  server.snapshots[0]?.answer(change);
  await settled();
  server.snapshots[1]?.answer(change);
  await settled();
}

describe('the panel follows a kernel', () => {
  it('reads its environment, suggests a name, and compares the plan with that name', async () => {
    await ready({ name: 'Sci', digest: DIGEST });
    expect(server.snapshots.map(({ request }) => request)).toEqual([
      { kernel_id: 'a' },
      {
        kernel_id: 'a',
        reference: 'registry.lab.org/team/sci:2026-11-24',
        cache_from: ['registry.lab.org/team/base:1']
      }
    ]);
    expect(model.state).toMatchObject({ reading: false, planning: false });
    expect(model.state.snapshot?.name).toBe('Sci');
  });

  it('removes the environment of the earlier kernel, and ignores its late answer', async () => {
    model.choose(kernel('slow'), true);
    model.choose(kernel('quick'), true);
    const [slow, quick] = server.snapshots;
    quick?.answer({ name: 'quick' });
    await settled();
    slow?.answer({ name: 'slow' });
    await settled();
    expect(model.state.snapshot?.name).toBe('quick');
  });

  it('ignores the late error of the earlier kernel', async () => {
    model.choose(kernel('slow'), true);
    model.choose(kernel('quick'), true);
    const [slow, quick] = server.snapshots;
    quick?.answer({ name: 'quick' });
    await settled();
    slow?.fail({ code: 'not_a_conda_kernel', message: 'no', hint: '' });
    await settled();
    expect(model.state.snapshotFault).toBeNull();
    expect(model.state.snapshot?.name).toBe('quick');
  });

  it('does not display a plan that was requested for an older name', async () => {
    await ready();
    model.edit({ reference: 'r.org/a:1' });
    await vi.advanceTimersByTimeAsync(1000);
    model.edit({ reference: 'r.org/b:1' });
    await vi.advanceTimersByTimeAsync(1000);
    const [, , first, second] = server.snapshots;
    expect([first?.request.reference, second?.request.reference]).toEqual(['r.org/a:1', 'r.org/b:1']);
    second?.answer({ name: 'second' });
    await settled();
    first?.answer({ name: 'first' });
    await settled();
    expect(model.state.snapshot?.name).toBe('second');
    expect(model.state.planning).toBe(false);
  });

  it('does not wait for a plan that is no longer needed', async () => {
    await ready();
    model.edit({ reference: 'r.org/a:1' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(model.state.planning).toBe(true);
    model.edit({ destination: 'archive' });
    void model.readEnvironment();
    server.snapshots[3]?.answer({});
    await settled();
    expect(model.state.planning).toBe(false);
  });

  it('requests one plan at the end of typing, not for each key', async () => {
    await ready();
    for (const reference of ['r.org/a', 'r.org/ab', 'r.org/abc']) {
      model.edit({ reference });
      await vi.advanceTimersByTimeAsync(100);
    }
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.snapshots.slice(2).map(({ request }) => request.reference)).toEqual(['r.org/abc']);
  });

  it('keeps a name that a person wrote when the environment is read again', async () => {
    await ready();
    model.edit({ reference: 'r.org/mine:1' });
    void model.readEnvironment();
    server.snapshots[2]?.answer({ name: 'other' });
    await settled();
    expect(model.state.form.reference).toBe('r.org/mine:1');
  });

  it('keeps the environment when only the title of the notebook changes', async () => {
    await ready();
    model.choose({ ...kernel('a'), title: 'renamed.ipynb' }, true);
    expect(model.state.snapshot).not.toBeNull();
    expect(server.snapshots).toHaveLength(2);
  });

  it('sends no request while it is hidden', () => {
    model.choose(kernel('a'), false);
    expect(server.snapshots).toEqual([]);
  });

  it('displays the reason why an environment cannot be read, and has no environment without a kernel', async () => {
    model.choose(kernel('a'), true);
    server.snapshots[0]?.fail({ code: 'not_a_conda_kernel', message: 'No conda here', hint: 'Choose another' });
    await settled();
    expect(model.state.snapshotFault).toEqual({ code: 'not_a_conda_kernel', message: 'No conda here', hint: 'Choose another' });
    model.choose(null, true);
    expect(model.state).toMatchObject({ subject: null, snapshot: null, snapshotFault: null, reading: false });
  });
});

describe('the plan', () => {
  it('uses the engine, base and installer of the form, even without a push', async () => {
    await ready();
    model.edit({ destination: 'load', engine: 'docker', installer: 'conda', base: 'debian:13' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.snapshots[2]?.request).toEqual({
      kernel_id: 'a',
      cache_from: ['registry.lab.org/team/base:1'],
      engine: 'docker',
      installer: 'conda',
      base: 'debian:13'
    });
  });

  it('is requested again after a build, because its layers exist now', async () => {
    await ready();
    await model.start();
    const [id] = [...server.followers.keys()];
    expect(server.snapshots).toHaveLength(2);
    server.end(id ?? '', { state: 'finished', result: RESULT });
    await settled();
    expect(server.snapshots).toHaveLength(3);
    expect(server.snapshots[2]?.request.reference).toBe(model.state.form.reference);
  });

  it('waits until the environment has been read', async () => {
    await ready();
    void model.readEnvironment();
    model.edit({ reference: 'r.org/new:1' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.snapshots).toHaveLength(3);
    server.snapshots[2]?.answer({ name: 'read again' });
    await settled();
    expect(model.state).toMatchObject({ reading: false, snapshot: { name: 'read again' } });
    expect(server.snapshots[3]?.request.reference).toBe('r.org/new:1');
  });

  it('is not requested again for a change without effect on the plan', async () => {
    await ready();
    model.edit({ strict: true, archive: 'x.tar' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.snapshots).toHaveLength(2);
  });

  it('has the included folder, so that its secrets are listed before a build, whatever the destination is', async () => {
    await ready();
    model.edit({ destination: 'archive', include: 'project' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.snapshots.at(-1)?.request).toMatchObject({ include: 'project' });
    expect(server.snapshots.at(-1)?.request).not.toHaveProperty('reference');
  });
});

describe('a build', () => {
  it('has the files that a person puts in although they seem to hold secrets, and no others', async () => {
    await ready();
    await model.start();
    expect(server.started[0]).not.toHaveProperty('allow_secret');
    model.deciding.add([{ kind: 'allowSecret', value: '/opt/sci/etc/key.pem' }]);
    await model.start();
    expect(server.started[1]).toMatchObject({ allow_secret: ['/opt/sci/etc/key.pem'] });
  });

  it('is requested with the values of the form, and then displayed and followed', async () => {
    server.known = [aBuild({ id: '0'.repeat(16), state: 'finished', result: RESULT })];
    await ready();
    model.edit({ base: 'debian:13', include: '.', strict: true, cacheFrom: 'r.org/x:1' });
    await model.start();
    expect(server.started[0]).toMatchObject({
      prefix: '/opt/sci',
      identity: DIGEST,
      reference: model.state.form.reference,
      push: true,
      base: 'debian:13',
      include: '.',
      strict: true,
      // The images of the form and of the settings, and the previous image.
      cache_from: ['r.org/x:1', 'registry.lab.org/team/base:1', RESULT.reference],
      again: false
    });
    expect(model.state.shown).toBe('a'.repeat(15) + '1');
    expect(server.followers.has('a'.repeat(15) + '1')).toBe(true);
  });

  it('reuses layers of the images in the registry of its name first, those of the environment before others', async () => {
    const image = (id: string, reference: string, prefix = '/opt/other'): Build =>
      aBuild({ id, state: 'finished', request: { ...aBuild().request, prefix, reference }, result: { ...RESULT, reference } });
    server.known = [
      image('9', 'other.org/team/sci:9', '/opt/sci'),
      image('8', 'registry.lab.org/x/a:8'),
      image('7', 'registry.lab.org/x/b:7'),
      image('6', 'registry.lab.org/x/c:6'),
      image('5', 'registry.lab.org/team/sci:5', '/opt/sci'),
      { ...image('4', 'registry.lab.org/x/d:4', '/opt/sci'), command: 'verify' }
    ];
    await ready();
    model.edit({ reference: 'registry.lab.org/lab/second:1' });
    await model.start();
    expect((server.started[0] as { cache_from: string[] }).cache_from).toEqual([
      'registry.lab.org/team/base:1',
      'registry.lab.org/team/sci:5',
      'registry.lab.org/x/a:8',
      'registry.lab.org/x/b:7',
      'other.org/team/sci:9'
    ]);
  });

  it('that is edited again names no images that the panel added, and another environment names none at all', async () => {
    server.known = [aBuild({ state: 'finished', result: RESULT })];
    await ready();
    const request = { ...aBuild().request, cache_from: ['r.org/x:1', 'registry.lab.org/team/base:1', RESULT.reference] };
    model.editAgain(aBuild({ request }));
    expect(model.state.form.cacheFrom).toBe('r.org/x:1');
    model.choose({ source: { kernel_id: 'other' }, title: 'other' }, true);
    expect(model.state.form.cacheFrom).toBe('');
  });

  it('that cannot start displays the reason, and the next attempt removes the reason', async () => {
    await ready();
    server.refuses = { code: 'queue_full', message: 'Too many', hint: 'Later' };
    await model.start();
    expect(model.state).toMatchObject({ starting: false, shown: null, startFault: { code: 'queue_full', hint: 'Later' } });
    server.refuses = null;
    await model.start();
    expect(model.state.startFault).toBeNull();
    expect(model.state.shown).not.toBeNull();
  });

  it('continues after the last event when its stream is opened again', async () => {
    server.known = [aBuild({ state: 'running' })];
    await model.loadBuilds();
    const [id, follower] = [...server.followers][0] ?? [];
    follower?.events(LITTLE_BUILD.slice(0, 5));
    expect(follower?.lastSeq()).toBe(5);
    follower?.events(LITTLE_BUILD.slice(3, 8));
    expect(follower?.lastSeq()).toBe(8);
    expect(progressOf(model.state, id ?? '').missed).toBe(0);
    expect(progressOf(model.state, id ?? '').lines.slice().filter(line => line.label === 'warning')).toHaveLength(1);
  });

  it('has the state of its own connection', async () => {
    const [one, other] = ['1'.repeat(16), '2'.repeat(16)];
    server.known = [aBuild({ id: one, state: 'running' }), aBuild({ id: other, state: 'queued' })];
    await model.loadBuilds();
    server.followers.get(other)?.connection('denied');
    model.show(one);
    expect(connectionOf(model.state, one)).toBe('open');
    model.show(other);
    expect(connectionOf(model.state, other)).toBe('denied');
    server.followers.get(other)?.connection('open');
    expect(connectionOf(model.state, other)).toBe('open');
  });

  it('loads the panel again when its stream is accepted again', async () => {
    server.known = [aBuild({ state: 'running' })];
    await model.loadBuilds();
    server.refuses = { code: 'forbidden', message: 'Forbidden.', hint: '' };
    await model.loadBuilds();
    expect(model.state.absent?.code).toBe('forbidden');
    server.refuses = null;
    server.followers.get(aBuild().id)?.connection('open');
    await settled();
    expect(model.state.absent).toBeNull();
    expect(model.state.status).not.toBeNull();
  });

  it('is reported once when it has ended, with its result', async () => {
    const build = aBuild({ state: 'running' });
    server.known = [build];
    const ended: Build[] = [];
    model.ended.connect((_, each) => void ended.push(each));
    await model.loadBuilds();
    server.followers.get(build.id)?.build({ ...build, state: 'finished', result: RESULT });
    server.end(build.id, { state: 'finished', result: RESULT });
    await settled();
    expect(ended.map(({ state }) => state)).toEqual(['finished']);
    expect(model.state.builds.map(({ state }) => state)).toEqual(['finished']);
  });

  it('that was deleted on the server is removed, with a message if it was displayed', async () => {
    const [one, other] = [aBuild({ id: '1'.repeat(16), state: 'running' }), aBuild({ id: '2'.repeat(16), state: 'running' })];
    server.known = [one, other];
    await model.loadBuilds();
    model.show(one.id);
    server.followers.get(other.id)?.forgotten();
    expect(model.state).toMatchObject({ builds: [one], shown: one.id, forgotten: null });
    server.followers.get(one.id)?.forgotten();
    expect(model.state).toMatchObject({ builds: [], shown: null, forgotten: one });
    model.show(null);
    expect(model.state.forgotten).toBeNull();
  });

  it('can be repeated from its environment or its lock file, without members that the request cannot have', async () => {
    await model.retry(aBuild());
    await model.retry(aBuild({ request: { ...aBuild().request, prefix: '', lockfile: DIGEST } }));
    const how = {
      command: 'build',
      reference: 'registry.lab.org/team/sci:1',
      push: true,
      load: false,
      engine: 'layers',
      installer: 'micromamba',
      base: 'debian:12-slim',
      pull: false,
      cache_from: [],
      category: [],
      allow_secret: [],
      category: [],
      include_outside: [],
      without_outside: [],
      exclude: [],
      exclude_editable: [],
      apt: [],
      leave_out: [],
      platforms: [],
      strict_versions: 'as-requested',
      strict: false,
      variables: false,
      stack: false,
      bytecode: true,
      again: true
    };
    expect(server.started).toEqual([
      { prefix: '/opt/sci', ...how },
      { lockfile: DIGEST, ...how }
    ]);
  });

  it('can be rebased, and the rebase can be repeated', async () => {
    const build = aBuild({ state: 'finished', result: RESULT });
    await model.rebase(build, 'debian:13-slim', 'registry.lab.org/team/sci:1-base2');
    const target = 'registry.lab.org/team/sci:1-base2';
    const rebase = { command: 'rebase', reference: RESULT.reference, base: 'debian:13-slim', target };
    expect(server.started).toEqual([rebase]);
    await model.retry(aBuild({ command: 'rebase', request: { ...build.request, ...rebase, prefix: '' } }));
    expect(server.started[1]).toEqual(rebase);
  });

  it('is replaced by a rebase only if a person chooses its name', async () => {
    const build = aBuild({ state: 'finished', result: RESULT });
    const first = rebasedReference(build, [build]);
    expect(first).toBe('registry.lab.org/team/sci:1-base2');
    const rebased = aBuild({ command: 'rebase', request: { ...build.request, target: first }, result: { ...RESULT, reference: first } });
    expect(rebasedReference(build, [rebased, build])).toBe('registry.lab.org/team/sci:1-base3');
    expect(rebasedReference(rebased, [rebased, build])).toBe('registry.lab.org/team/sci:1-base3');
    await model.rebase(build, 'debian:13-slim', RESULT.reference);
    expect(server.started).toEqual([{ command: 'rebase', reference: RESULT.reference, base: 'debian:13-slim' }]);
  });

  it('can be verified at its destination, by its digest in a registry', async () => {
    const asked = aBuild().request;
    const of = (change: Partial<Build['request']>): Build =>
      aBuild({ state: 'finished', result: RESULT, request: { ...asked, push: false, ...change } });
    await model.verify(of({ push: true }));
    await model.verify(of({ load: true }));
    await model.verify(of({ archive: 'a.tar' }));
    await model.verify(of({ archive: 'docker-archive:a.tar' }));
    expect(server.started).toEqual(
      [`${RESULT.reference}@${DIGEST}`, `docker-daemon:${RESULT.reference}`, 'oci-archive:a.tar', 'docker-archive:a.tar'].map(
        reference => ({ command: 'verify', reference })
      )
    );
  });
});
