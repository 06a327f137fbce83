import { describe, expect, it, vi } from 'vitest';

import type { Build, Snapshot } from '../src/api/contract';
import { existingBuild, replaces } from '../src/model/state';
import { held, settled } from './held';
import { answer, model, ready, server, setUp } from './setUp';
import { aBuild, aSnapshot, DIGEST, RESULT } from './things';

const OTHER = `sha256:${'cd'.repeat(32)}`;

setUp(new Date(2026, 10, 24, 12));

const planned = (current: string): Snapshot['plan'] => ({ ...aSnapshot().plan, current });

/** A pushed image of the environment with this identity. */
function pushed(identity: string, digest: string, change: Partial<Build> = {}): Build {
  const reference = 'registry.lab.org/team/sci:v1';
  return aBuild({
    state: 'finished',
    ended: 2000,
    request: { ...aBuild().request, reference, identity },
    result: { ...RESULT, reference, digest, environment: identity },
    ...change
  });
}

describe('a name that has an image', () => {
  it('of another state of the environment is said, with the person, the time and the number of packages', async () => {
    server.known = [pushed(OTHER, 'sha256:image')];
    server.differences.set(`${OTHER} ${DIGEST}`, [
      { name: 'numpy', manager: 'conda', kind: 'changed', before: '1-0', after: '2-0' }
    ]);
    model.edit({ reference: 'registry.lab.org/team/sci:v1' });
    await ready();
    model.edit({ reference: 'registry.lab.org/team/sci:v1' });
    await vi.advanceTimersByTimeAsync(1000);
    await answer({ plan: planned('sha256:image') });
    expect(model.state.existing).toEqual({ digest: 'sha256:image', changes: 1 });
    expect(existingBuild(model.state)?.id).toBe(server.known[0]?.id);
    expect(replaces(model.state)).toBe(true);
  });

  it('of another person is compared by its name', async () => {
    await ready();
    server.differences.set(`registry.lab.org/team/sci:v1 ${DIGEST}`, []);
    model.edit({ reference: 'registry.lab.org/team/sci:v1' });
    await vi.advanceTimersByTimeAsync(1000);
    await answer({ plan: planned('sha256:theirs') });
    expect(model.state.existing).toEqual({ digest: 'sha256:theirs', changes: 0 });
    expect(existingBuild(model.state)).toBeNull();
    expect(replaces(model.state)).toBe(true);
  });

  it('is said although the image cannot be compared', async () => {
    await ready();
    server.difference = () => Promise.reject({ code: 'bad_image', message: 'Not ours', hint: '' });
    model.edit({ reference: 'registry.lab.org/team/sci:v1' });
    await vi.advanceTimersByTimeAsync(1000);
    await answer({ plan: planned('sha256:theirs') });
    expect(model.state.existing).toEqual({ digest: 'sha256:theirs', changes: null });
    expect(replaces(model.state)).toBe(true);
  });

  it('of the same environment is not replaced, unless it gets another base', async () => {
    server.known = [pushed(DIGEST, 'sha256:image')];
    model.prefer({ tagStyle: 'version' });
    await ready({ plan: planned('sha256:image') });
    expect(model.state.form.reference).toBe('registry.lab.org/team/sci:v1');
    expect(replaces(model.state)).toBe(false);
    model.edit({ base: 'ubuntu:24.04' });
    await vi.advanceTimersByTimeAsync(1000);
    await answer({ plan: planned('sha256:image') });
    expect(model.state.form.reference).toBe('registry.lab.org/team/sci:v1');
    expect(replaces(model.state)).toBe(true);
  });

  it('is no longer said when the person writes another name', async () => {
    await ready({ plan: planned('sha256:theirs') });
    expect(model.state.existing).not.toBeNull();
    model.edit({ reference: 'r.org/other:1' });
    expect(model.state.existing).toBeNull();
    await vi.advanceTimersByTimeAsync(1000);
    await answer({ plan: planned('') });
    expect(model.state.existing).toBeNull();
  });

  it('is not compared late, after a change of the name', async () => {
    await ready();
    const comparisons = held<{ changes: unknown[] }>(server, 'difference');
    model.edit({ reference: 'r.org/one:1' });
    await vi.advanceTimersByTimeAsync(1000);
    await answer({ plan: planned('sha256:theirs') });
    model.edit({ reference: 'r.org/other:1' });
    comparisons[0]?.answer({ changes: [] });
    await settled();
    expect(model.state.existing).toBeNull();
  });
});
