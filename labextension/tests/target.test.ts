import { describe, expect, it, vi } from 'vitest';

import type { Snapshot, SubstitutedPackage } from '../src/api/contract';
import { ownPlatform, platformsOf, preselected, tablesOf, targetMembers, targetOf, toLookAt, versionsOf } from '../src/model/target';
import { model, server, setUp } from './setUp';
import { aBuild, aSnapshot } from './things';

const NOTEBOOK = { source: { kernel_id: 'k1' }, title: 'analysis.ipynb' };
const NEEDED = { code: 'platform_needed', message: 'The environment is for osx-arm64.', hint: '' };
const MEMBERS = { platform: 'linux-64', leave_out: ['appnope'] };

setUp();

async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(1000);
}

async function answer(snapshot: Partial<Snapshot> = {}): Promise<void> {
  server.snapshots.at(-1)?.answer(snapshot);
  await settle();
}

/** Choose the environment of a Mac, which the server refuses, and then a platform. */
async function solved(): Promise<void> {
  await model.refresh();
  model.choose(NOTEBOOK, true);
  await settle();
  server.snapshots.at(-1)?.fail(NEEDED);
  await settle();
  model.edit({ platforms: ['linux-64'], leaveOut: ['appnope'] });
  await settle();
}

function row(change: Partial<SubstitutedPackage>): SubstitutedPackage {
  return { name: 'numpy', here: '1.26.4-py311h_0', there: '1.26.4-py311h_0', level: 'same-build', why: '', manager: 'conda', ...change };
}

describe('the platform of the image', () => {
  it('is asked for by the person alone', async () => {
    await model.refresh();
    model.choose(NOTEBOOK, true);
    await settle();
    server.snapshots.at(-1)?.fail(NEEDED);
    await settle();
    expect(server.snapshots).toHaveLength(1);
    expect(server.snapshots[0]?.request).not.toHaveProperty('platform');
    expect(model.state).toMatchObject({ snapshot: null, reading: false, snapshotFault: NEEDED });
  });

  it('is sent with each snapshot, with the look before a build, and with the build', async () => {
    await solved();
    expect(server.snapshots).toHaveLength(2);
    expect(server.snapshots[1]?.request).toEqual({ ...NOTEBOOK.source, ...MEMBERS });
    await answer();
    expect(server.snapshots[2]?.request).toMatchObject(MEMBERS);
    await answer();
    await model.start();
    expect(server.looked.at(-1)).toMatchObject(MEMBERS);
    expect(server.started[0]).toMatchObject(MEMBERS);
  });

  it('stays if its packages are not found, so that the person can leave one out', async () => {
    await solved();
    server.snapshots.at(-1)?.fail({ code: 'not_compatible', message: 'no package x', hint: '' });
    await settle();
    expect(model.state.form).toMatchObject({ platforms: ['linux-64'], leaveOut: ['appnope'] });
    model.edit({ leaveOut: ['appnope', 'x'] });
    await settle();
    expect(server.snapshots.at(-1)?.request).toMatchObject({ platform: 'linux-64', leave_out: ['appnope', 'x'] });
  });

  it('belongs to its environment, and comes back with it', async () => {
    await solved();
    await answer();
    await answer();
    model.choose({ source: { kernel_id: 'k2' }, title: 'other.ipynb' }, true);
    await settle();
    expect(server.snapshots.at(-1)?.request).toEqual({ kernel_id: 'k2' });
    model.choose(NOTEBOOK, true);
    await settle();
    expect(server.snapshots.at(-1)?.request).toMatchObject(MEMBERS);
  });

  it('of an earlier build is used again', async () => {
    await solved();
    await answer();
    await answer();
    const { request } = aBuild();
    model.editAgain(aBuild({ request: { ...request, platform: 'linux-aarch64', strict_versions: 'same-minor' } }));
    await settle();
    expect(server.snapshots.at(-1)?.request).toMatchObject({ platform: 'linux-aarch64', strict_versions: 'same-minor' });
    expect(targetMembers(targetOf(request))).toEqual({});
  });
});

describe('several platforms of one name', () => {
  const BOTH = ['linux-64', 'linux-aarch64'];
  const table = { from: 'osx-arm64', platform: 'linux-64', glibc: '2.36', cuda: '', counts: {}, packages: [] };
  const arm = { ...table, platform: 'linux-aarch64' };

  it('are sent together, and are those of an earlier build again', async () => {
    await solved();
    model.edit({ platforms: BOTH });
    await settle();
    expect(server.snapshots.at(-1)?.request).toEqual({ ...NOTEBOOK.source, platforms: BOTH, leave_out: ['appnope'] });
    const { request } = aBuild();
    expect(targetMembers(targetOf({ ...request, platforms: BOTH }))).toEqual({ platforms: BOTH });
  });

  it('have a table each, except that of the environment', () => {
    const mac = aSnapshot({ substitution: table, other_substitutions: [arm] });
    expect([tablesOf(mac), ownPlatform(mac)]).toEqual([[table, arm], 'osx-arm64']);
    const linux = aSnapshot({ other_substitutions: [{ ...arm, from: 'linux-64' }] });
    expect([tablesOf(linux).length, ownPlatform(linux)]).toEqual([1, 'linux-64']);
  });

  it('of the settings, or of the base, are shown where nobody chose', () => {
    const none = targetOf({});
    expect(platformsOf(aSnapshot({ substitution: table, other_substitutions: [arm] }), none)).toEqual(BOTH);
    expect(preselected(none, BOTH)).toEqual(BOTH);
    expect(preselected({ ...none, platforms: ['linux-aarch64'] }, BOTH)).toEqual(['linux-aarch64']);
    expect(preselected(none, [])).toEqual(['linux-64']);
    expect(preselected(none, BOTH, 'linux-aarch64')).toEqual(BOTH);
    expect(preselected(none, [], 'linux-aarch64')).toEqual(['linux-aarch64']);
  });
});

describe('the table of packages', () => {
  it('begins with what needs a look, and leaves out what nothing needs', () => {
    const rows = [
      row({ name: 'same' }),
      row({ name: 'appnope', level: 'left-out', why: 'macOS only' }),
      row({ name: 'icu', level: 'left-out', why: 'no package for linux-64, and nothing needs it there' }),
      row({ name: 'patch', level: 'same-minor' }),
      row({ name: 'other', level: 'as-requested' })
    ];
    const table = { from: 'osx-arm64', platform: 'linux-64', glibc: '2.36', cuda: '', counts: {}, packages: rows };
    expect(toLookAt(table).map(({ name }) => name)).toEqual(['other', 'patch', 'appnope']);
  });

  it('shows versions, and builds where only these differ', () => {
    expect(versionsOf(row({ here: '1.0-h1_0', there: '1.1-h2_0' }))).toEqual(['1.0', '1.1']);
    expect(versionsOf(row({ here: '1.0-h1_0', there: '1.0-h2_0' }))).toEqual(['1.0-h1_0', '1.0-h2_0']);
    expect(versionsOf(row({ here: '17.0-h1_0', there: 'libstdcxx-ng 13.2-h2_0' }))).toEqual(['17.0', 'libstdcxx-ng 13.2']);
    expect(versionsOf(row({ here: '', there: '13.2-h2_0' }))).toEqual(['', '13.2']);
    expect(versionsOf(row({ here: '1.0', there: '1.0', manager: 'pip' }))).toEqual(['1.0', '1.0']);
  });
});
