/** The panel says before a build what happens to the bytes of the image. */

import { describe, expect, it } from 'vitest';

import type { Plan, PlannedLayer } from '../src/api/contract';
import { headline, shares } from '../src/model/outlook';
import { aSnapshot } from './things';

function blob(state: PlannedLayer['state'], size: number, source = '', kind: PlannedLayer['kind'] = 'package'): PlannedLayer {
  return { kind, title: `${state} ${size}`, key: `${state}${size}`, packages: ['x-1-0'], size, state, source };
}

function plan(layers: PlannedLayer[], packages_changed = 0): Plan {
  return { ...aSnapshot().plan, packages: 3, packages_changed, layers };
}

describe('the outlook of a plan', () => {
  it('groups the blobs by what happens to them, and keeps two sources apart', () => {
    const layers = [blob('built and uploaded', 5), blob('mounted', 1, 'a'), blob('mounted', 2, 'b'), blob('there', 3), blob('there', 4)];
    expect(shares(layers)).toEqual([
      { state: 'there', source: '', bytes: 7, layers: 2 },
      { state: 'mounted', source: 'a', bytes: 1, layers: 1 },
      { state: 'mounted', source: 'b', bytes: 2, layers: 1 },
      { state: 'built and uploaded', source: '', bytes: 5, layers: 1 }
    ]);
  });

  it('says "nothing" only if nothing is built or sent', () => {
    const configuration = blob('uploaded', 1, '', 'configuration');
    expect(headline(plan([blob('there', 1)]), true)).toBe('nothing');
    expect(headline(plan([blob('there', 1), blob('mounted', 1), configuration]), true)).toBe('nothing');
    expect(headline(plan([blob('there', 1), blob('built and uploaded', 42e6, '', 'files')]), true)).toBe('files');
    expect(headline(plan([blob('copied', 230e6, 'registry.lab.org')]), true)).toBe('copied');
    expect(headline(plan([blob('built and uploaded', 1)], 1), true)).toBe('changed');
    expect(headline(plan([blob('built and uploaded', 1)], 3), true)).toBe('all');
    expect(headline(plan([blob('there', 1)]), false)).toBe('all');
  });
});
