import { describe, expect, it } from 'vitest';

import type { PlannedLayer } from '../src/api/contract';
import { NO_EVENTS, withEvents } from '../src/model/build';
import { counts, packageName, plannedTiles, tiles, treemap } from '../src/model/layerMap';
import { LITTLE_BUILD } from './events';

function planned(key: string, packages: string[], size: number, state: PlannedLayer['state']): PlannedLayer {
  return { kind: 'package', title: packages[0] ?? '', key, packages, size, state, source: '' };
}

const PLAN: PlannedLayer[] = [
  planned('a', ['numpy-2.4-py311_0'], 600, 'there'),
  planned('b', ['pandas-3.1-py311_0'], 100, 'built and uploaded'),
  planned('c', ['x-1-0', 'y-1-0'], 50, 'built and uploaded')
];

describe('the map of layers', () => {
  it('displays a plan', () => {
    expect(plannedTiles(PLAN).map(tile => tile.state)).toEqual(['reused', 'waiting', 'waiting']);
  });

  it('follows a build', () => {
    const states = (events: number): string[] =>
      tiles(PLAN, withEvents(NO_EVENTS, LITTLE_BUILD.slice(0, events))).map(tile => tile.state);
    expect(states(4)).toEqual(['waiting', 'waiting', 'waiting']);
    expect(states(7)).toEqual(['reused', 'building', 'waiting']);
    expect(states(9)).toEqual(['reused', 'built', 'waiting']);
    expect(states(10)).toEqual(['reused', 'pushed', 'waiting']);
  });

  it('needs no plan: a window that is opened later displays the events', () => {
    const all = tiles([], withEvents(NO_EVENTS, LITTLE_BUILD));
    expect(all.map(tile => tile.name)).toEqual(['numpy', 'pandas']);
    expect(counts(all).pushed).toEqual({ layers: 1, bytes: 100 });
  });

  it('displays the name of a package', () => {
    expect(packageName('scikit-learn-1.8-py311_0')).toBe('scikit-learn');
    expect(packageName('odd')).toBe('odd');
  });
});

describe('a treemap', () => {
  it('fills the box with areas in proportion to the sizes, without overlaps', () => {
    const sizes = [500, 20, 300, 80, 60, 30, 10];
    const rects = treemap(sizes, 300, 120);
    rects.forEach((rect, index) => {
      expect(rect.width * rect.height).toBeCloseTo(((sizes[index] ?? 0) / 1000) * 300 * 120, 3);
      expect(rect.x + rect.width).toBeLessThanOrEqual(300.001);
      expect(rect.y + rect.height).toBeLessThanOrEqual(120.001);
    });
    for (const [i, a] of rects.entries()) {
      for (const b of rects.slice(i + 1)) {
        const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
        const high = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
        expect(Math.min(wide, high)).toBeLessThan(0.001);
      }
    }
  });

  it('displays very small sizes, and accepts an empty list', () => {
    const [, little] = treemap([1e9, 0], 300, 120);
    expect((little?.width ?? 0) * (little?.height ?? 0)).toBeGreaterThan(20);
    expect(treemap([], 300, 120)).toEqual([]);
    expect(treemap([0, 0], 300, 120)).toHaveLength(2);
    expect(treemap([1], 0, 120)).toHaveLength(1);
  });
});
