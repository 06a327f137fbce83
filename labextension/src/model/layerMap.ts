/** The map of an image's layers: for each layer a rectangle whose area is its size, and its state. */

import type { PlannedLayer } from '../api/contract';
import type { BuildProgress, Layer } from './build';

export type TileState = 'waiting' | 'reused' | 'building' | 'built' | 'pushed' | 'heavy';

export interface Tile {
  key: string;
  /** The package's name, or the first of several. */
  name: string;
  packages: string[];
  size: number;
  state: TileState;
}

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The tiles of a build. They are the tiles of its plan, in the current states of the layers. */
export function tiles(planned: readonly PlannedLayer[], build: BuildProgress): Tile[] {
  const all = new Map<string, Tile>();
  for (const layer of planned.filter(({ kind }) => kind === 'package' || kind === 'files')) {
    all.set(layer.key || layer.title, tile(layer, 'waiting'));
  }
  for (const layer of Object.values(build.layers)) {
    // The planned size is kept, because a map whose tiles move is hard to read.
    all.set(layer.key, tile({ ...layer, size: all.get(layer.key)?.size ?? layer.size }, stateOf(layer)));
  }
  return [...all.values()].map(each =>
    each.state === 'waiting' && begun(build, each.packages) ? { ...each, state: 'building' } : each
  );
}

/** The tiles of a plan before its build. */
export function plannedTiles(planned: readonly PlannedLayer[]): Tile[] {
  const sent: PlannedLayer['state'][] = ['copied', 'uploaded', 'built', 'built and uploaded'];
  return planned.map(layer => tile(layer, sent.includes(layer.state) ? 'waiting' : 'reused'));
}

/** The tiles of an image's layers. A few of the largest layers have a state of their own. */
export function sizeTiles(layers: readonly { key: string; packages: string[]; size: number }[], heaviest = 5): Tile[] {
  const sorted = layers.slice().sort((a, b) => b.size - a.size);
  return sorted.map((layer, index) => tile(layer, index < heaviest ? 'heavy' : 'reused'));
}

/** The number of tiles in each state, and their bytes. */
export function counts(all: readonly Tile[]): Record<TileState, { layers: number; bytes: number }> {
  const none = (): { layers: number; bytes: number } => ({ layers: 0, bytes: 0 });
  const result = { waiting: none(), reused: none(), building: none(), built: none(), pushed: none(), heavy: none() };
  for (const { state, size } of all) {
    result[state].layers++;
    result[state].bytes += size;
  }
  return result;
}

/** The name in `name-version-build`. */
export function packageName(distribution: string): string {
  const parts = distribution.split('-');
  return parts.length > 2 ? parts.slice(0, -2).join('-') : distribution;
}

function tile(layer: { key: string; title?: string; packages: string[]; size: number }, state: TileState): Tile {
  const { key, title = '', packages, size } = layer;
  const named = packages.length ? packages : [title];
  return { key: key || title, name: key && key !== named[0] ? packageName(named[0] ?? '') : (named[0] ?? ''), packages: named, size, state };
}

function stateOf(layer: Layer): TileState {
  switch (layer.states[layer.states.length - 1]) {
    case 'pushed':
      // A layer of the local store is pushed without being built.
      return 'pushed';
    case 'built':
      return 'built';
    default:
      return 'reused';
  }
}

/** The subject of a layer's progress events: its first package, with `and N more` if it has several packages. */
function begun(build: BuildProgress, packages: readonly string[]): boolean {
  const first = packages[0] ?? '';
  return (build.progress[first] ?? build.progress[`${first} and ${packages.length - 1} more`]) !== undefined;
}

/**
 * Rectangles for sizes in a box, as near to squares as possible, in the order of `sizes`.
 * Source: squarified treemaps, by Bruls, Huizing and van Wijk, https://vanwijk.win.tue.nl/stm.pdf
 */
export function treemap(sizes: readonly number[], width: number, height: number): Rect[] {
  const rects: Rect[] = sizes.map(() => ({ x: 0, y: 0, width: 0, height: 0 }));
  const order = sizes.map((_, index) => index).sort((a, b) => (sizes[b] ?? 0) - (sizes[a] ?? 0) || a - b);
  const total = sizes.reduce((sum, size) => sum + Math.max(size, 0), 0);
  if (!(total > 0) || !(width > 0) || !(height > 0)) {
    return rects;
  }
  // Each layer has a minimum share of the box, so that small layers are visible, too.
  const least = total * 0.0008;
  const shown = (index: number): number => Math.max(sizes[index] ?? 0, least);
  const scale = (width * height) / order.reduce((sum, index) => sum + shown(index), 0);
  const box: Rect = { x: 0, y: 0, width, height };
  let row: number[] = [];
  const area = (index: number): number => shown(index) * scale;
  for (const index of order) {
    const side = Math.min(box.width, box.height);
    if (row.length && worst([...row, index].map(area), side) > worst(row.map(area), side)) {
      layRow(row, area, box, rects);
      row = [];
    }
    row.push(index);
  }
  layRow(row, area, box, rects);
  return rects;
}

function worst(areas: readonly number[], side: number): number {
  const sum = areas.reduce((total, area) => total + area, 0);
  const [largest, smallest] = [Math.max(...areas), Math.min(...areas)];
  return Math.max((side * side * largest) / (sum * sum), (sum * sum) / (side * side * smallest));
}

function layRow(row: readonly number[], area: (index: number) => number, box: Rect, rects: Rect[]): void {
  const sum = row.reduce((total, index) => total + area(index), 0);
  const upright = box.width >= box.height;
  const depth = sum / (upright ? box.height : box.width);
  let at = upright ? box.y : box.x;
  for (const index of row) {
    const length = area(index) / depth;
    rects[index] = upright
      ? { x: box.x, y: at, width: depth, height: length }
      : { x: at, y: box.y, width: length, height: depth };
    at += length;
  }
  if (upright) {
    box.x += depth;
    box.width -= depth;
  } else {
    box.y += depth;
    box.height -= depth;
  }
}
