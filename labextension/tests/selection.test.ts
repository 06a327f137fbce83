import { describe, expect, it, vi } from 'vitest';

import type { Snapshot, Warning } from '../src/api/contract';
import { obstacleOf } from '../src/model/possible';
import { namesIn, selectionOf, NO_SELECTION, patternOf, withDecisions, type Selection } from '../src/model/selection';
import { heaviest } from '../src/model/smaller';
import { grouped, leaveAll } from '../src/model/warnings';
import { model, server, setUp } from './setUp';
import { aSnapshot } from './things';

const NOTEBOOK = { source: { kernel_id: 'k1' }, title: 'analysis.ipynb' };
const PAUSE = 1000;

setUp();

/** Let the promises of answered requests settle, and the form rest. */
async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(PAUSE);
}

async function answer(snapshot: Partial<Snapshot> = {}): Promise<void> {
  server.snapshots.at(-1)?.answer(snapshot);
  await settle();
}

async function ready(snapshot: Partial<Snapshot> = {}): Promise<void> {
  await model.refresh();
  model.choose(NOTEBOOK, true);
  await settle();
  await answer(snapshot);
  await answer(snapshot);
}

function warning(code: string, group: Warning['group'] = 'others'): Warning {
  return { code, group, why: 'environments#x', message: `${code}: a, b.`, hint: '' };
}

const paths = (...all: string[]): Snapshot['excluded'] => ({
  count: all.length,
  bytes: 10 * all.length,
  first: all.map(path => ({ path, size: 10, package: '' }))
});

describe('a choice', () => {
  it('is sent with the snapshot, with the look before a build, and with the build', async () => {
    await ready();
    model.deciding.add([{ kind: 'exclude', value: '/data.bin' }, { kind: 'excludeEditable', value: 'mine' }]);
    await settle();
    const members = { exclude: ['/data.bin'], exclude_editable: ['mine'] };
    expect(server.snapshots.at(-1)?.request).toMatchObject(members);
    await answer({ identity: `sha256:${'cd'.repeat(32)}` });
    server.changedTo = { identity: `sha256:${'cd'.repeat(32)}` };
    await model.start();
    expect(server.looked.at(-1)).toMatchObject(members);
    expect(server.started[0]).toMatchObject(members);
  });

  it('is sent with the snapshot even if no registry is asked', async () => {
    await ready();
    model.edit({ destination: 'archive' });
    await settle();
    const before = server.snapshots.length;
    model.deciding.add([{ kind: 'exclude', value: '*.csv' }]);
    await settle();
    expect(server.snapshots).toHaveLength(before + 1);
    await answer();
    model.deciding.takeBack({ kind: 'exclude', value: '*.csv' });
    await settle();
    expect(server.snapshots).toHaveLength(before + 2);
    expect(server.snapshots.at(-1)?.request).not.toHaveProperty('exclude');
  });

  it('of variables or of a notebook is part of the contents: they are read again, also without a registry', async () => {
    await ready();
    model.edit({ destination: 'archive', archive: 'a.tar' });
    await settle();
    const before = server.snapshots.length;
    model.edit({ variables: true });
    await settle();
    expect(server.snapshots).toHaveLength(before + 1);
    await answer({ identity: 'sha256:variables' });
    await model.start();
    expect(server.looked.at(-1)).toMatchObject({ variables: true });
    expect(server.started.at(-1)).toMatchObject({ variables: true, identity: 'sha256:variables' });
    model.edit({ include: 'notes' });
    await settle();
    await answer({ identity: 'sha256:notes' });
    model.edit({ include: '' });
    await settle();
    expect(server.snapshots.at(-1)?.request).not.toHaveProperty('include');
  });

  it('of packages of Debian concerns the plan and the build, and not the contents', async () => {
    await ready();
    model.deciding.add([{ kind: 'apt', value: 'libgl1' }]);
    await settle();
    expect(server.snapshots.at(-1)?.request).toMatchObject({ apt: ['libgl1'], reference: expect.any(String) as string });
    await answer();
    server.changedTo = { identity: 'sha256:another' };
    void model.start();
    await settle();
    expect(server.started).toEqual([]);
    await answer({ identity: 'sha256:another' });
    await model.start();
    expect(server.looked.at(-1)).not.toHaveProperty('apt');
    expect(server.started[0]).toMatchObject({ apt: ['libgl1'] });
    expect([...model.deciding.all.values()][0]?.apt).toEqual(['libgl1']);
  });

  it('of a name that no package of Debian can have stops the build', async () => {
    await ready();
    const names = namesIn(' libgl1, libGL.so.1 libstdc++6=12.2.0-14+deb12u1  libgl1');
    expect(names).toEqual(['libgl1', 'libGL.so.1', 'libstdc++6=12.2.0-14+deb12u1']);
    model.edit({ selection: { ...NO_SELECTION, apt: names } });
    expect(obstacleOf(model.state)).toEqual({ reason: 'apt', names: ['libGL.so.1'] });
    model.deciding.takeBack({ kind: 'apt', value: 'libGL.so.1' });
    expect(obstacleOf(model.state)).toBeNull();
  });

  it('belongs to its environment, and comes back with it', async () => {
    await ready({ prefix: '/opt/one' });
    model.deciding.add([{ kind: 'exclude', value: '/data.bin' }]);
    await settle();
    await answer({ prefix: '/opt/one' });
    model.choose({ source: { kernel_id: 'k2' }, title: 'other.ipynb' }, true);
    await settle();
    expect(model.state.form.selection).toEqual(NO_SELECTION);
    await answer({ prefix: '/opt/two' });
    expect(server.snapshots.at(-1)?.request).not.toHaveProperty('exclude');
    await answer({ prefix: '/opt/two' });
    model.choose(NOTEBOOK, true);
    await settle();
    await answer({ prefix: '/opt/one' });
    expect(server.snapshots.at(-1)?.request).toMatchObject({ exclude: ['/data.bin'] });
    expect([...model.deciding.all.keys()]).toContain('/opt/one');
  });

  it('of an earlier session is used when its environment is displayed', async () => {
    model.deciding.recall(new Map([['/opt/sci', { ...NO_SELECTION, exclude: ['/old'] }]]));
    await ready();
    expect(server.snapshots.at(-1)?.request).toMatchObject({ exclude: ['/old'] });
  });

  it('of another window is used at once, in the environment that is displayed and in others', async () => {
    await ready();
    model.deciding.add([{ kind: 'exclude', value: '/data.bin' }]);
    await settle();
    const theirs = { ...NO_SELECTION, exclude: ['/theirs'] };
    model.deciding.follow(new Map([['/opt/sci', theirs], ['/opt/two', theirs]]));
    await settle();
    expect(model.state.form.selection).toEqual(theirs);
    expect(server.snapshots.at(-1)?.request).toMatchObject({ exclude: ['/theirs'] });
    expect(model.deciding.all.get('/opt/two')).toEqual(theirs);
    model.deciding.follow(new Map());
    await settle();
    expect(model.state.form.selection).toEqual(NO_SELECTION);
    expect(model.deciding.all.get('/opt/two')).toEqual(NO_SELECTION);
  });

  it('of a place that does not exist any more is forgotten, and the others stay', async () => {
    await ready();
    model.deciding.add([{ kind: 'withoutOutside', value: '/gone' }, { kind: 'exclude', value: '/data.bin' }]);
    await settle();
    server.snapshots.at(-1)?.fail({ code: 'usage', message: 'names /gone', hint: '' });
    await settle();
    expect(model.state.form.selection).toEqual({ ...NO_SELECTION, exclude: ['/data.bin'] });
    expect(server.snapshots.at(-1)?.request).toMatchObject({ exclude: ['/data.bin'] });
    expect(server.snapshots.at(-1)?.request).not.toHaveProperty('without_outside');
  });

  it('replaces the opposite choice', () => {
    const taken = withDecisions(NO_SELECTION, [{ kind: 'includeOutside', value: '/data' }]);
    const left: Selection = { ...NO_SELECTION, withoutOutside: ['/data'] };
    expect(withDecisions(taken, [{ kind: 'withoutOutside', value: '/data' }])).toEqual(left);
    expect(withDecisions(left, [{ kind: 'includeOutside', value: '/data' }])).toEqual(taken);
  });

  it('of an earlier build, or of stored data of any form, can be used again', () => {
    expect(selectionOf({ exclude: ['*.csv', 3], allow_secret: 'no list' })).toEqual({ ...NO_SELECTION, exclude: ['*.csv'] });
  });

  it('of one file names this file only', () => {
    expect(patternOf('data.bin')).toBe('/data.bin');
    expect(patternOf('/opt/src/a.py')).toBe('/opt/src/a.py');
    expect(patternOf('share/a[1]*?.txt')).toBe('/share/a\\[1\\]\\*\\?.txt');
    expect(patternOf('!not')).toBe('/!not');
  });
});

describe('the warnings', () => {
  it('are in groups, the most important first, with one line for each code', () => {
    const warnings = [
      warning('frozen', 'note'),
      warning('untracked-files'),
      warning('editable-install'),
      warning('unreadable', 'lost'),
      warning('editable-install'),
      warning('secrets-found', 'stops')
    ];
    const groups = grouped(warnings, null).map(({ entries, group }) => [group, ...entries.map(({ code }) => code)]);
    expect(groups).toEqual([
      ['stops', 'secrets-found'],
      ['lost', 'unreadable'],
      ['others', 'untracked-files', 'editable-install'],
      ['note', 'frozen']
    ]);
  });

  it('of a later version are notes', () => {
    const [only] = grouped([warning('new', 'unheard-of' as Warning['group'])], null);
    expect(only?.group).toBe('note');
  });

  it('list the files, and the folders with several of them', () => {
    const snapshot = aSnapshot({ warnings: [warning('untracked-files')] });
    snapshot.drift.untracked = paths('data.bin', 'share/a/1', 'share/a/2');
    const [entry] = grouped(snapshot.warnings, snapshot)[0]?.entries ?? [];
    expect(entry?.items.map(({ leave, name }) => [name, leave?.value])).toEqual([
      ['share/a/', '/share/a/'],
      ['data.bin', '/data.bin'],
      ['share/a/1', '/share/a/1'],
      ['share/a/2', '/share/a/2']
    ]);
    expect([entry?.count, entry?.size]).toEqual([3, 30]);
    expect(entry && leaveAll(entry).map(({ value }) => value)).toEqual(['/data.bin', '/share/a/1', '/share/a/2']);
    expect(entry && leaveAll(entry, 2)).toEqual([]);
  });

  it('offer what fits: an editable install by name, a place outside and a secret both ways', () => {
    const snapshot = aSnapshot({
      editables: [
        { name: 'mine', path: '/src/mine', state: 'taken', files: 2, bytes: 5 },
        { name: 'not', path: '/src/not', state: 'excluded', files: 0, bytes: 0 }
      ],
      secrets: [
        { path: '/opt/sci/k.pem', line: 1, kind: 'Private Key' },
        { path: '/opt/sci/k.pem', line: 9, kind: 'Private Key' }
      ],
      credentials: ['/opt/sci/.netrc'],
      outside: [
        { path: '/data', kind: 'link', source: '', link: 'd', state: 'left', files: 1, bytes: 3, complete: true, packages: [] },
        { path: '/rc', kind: 'setting', source: '', link: '', state: 'left', files: 1, bytes: 3, complete: true, packages: [] }
      ]
    });
    const codes = ['editable-install', 'secrets-found', 'credentials-left-out', 'outside-prefix', 'outside-settings'];
    snapshot.warnings = codes.map(code => warning(code));
    const entries = grouped(snapshot.warnings, snapshot).flatMap(group => group.entries);
    const choices = entries.map(({ code, items }) => [code, ...items.map(({ leave, take }) => [leave?.kind, take?.kind])]);
    expect(choices).toEqual([
      ['editable-install', ['excludeEditable', undefined]],
      ['secrets-found', ['exclude', 'allowSecret']],
      ['credentials-left-out', [undefined, 'allowSecret']],
      ['outside-prefix', ['withoutOutside', 'includeOutside']],
      ['outside-settings', ['withoutOutside', undefined]]
    ]);
  });
});

describe('the advice on size', () => {
  it('counts the files of no package, and never says to remove Python', () => {
    const layers = [
      { key: 'sha256:a', packages: ['python-3.11.7-h0_cpython'], size: 40 },
      { key: 'files of no package', packages: ['files of no package'], size: 31 },
      { key: 'sha256:b', packages: ['odd-1-0'], size: 5 }
    ];
    expect(heaviest(layers).map(({ advice, name }) => [name, advice?.kind])).toEqual([
      ['python', 'needed'],
      ['files of no package', 'files'],
      ['odd', undefined]
    ]);
  });
});
