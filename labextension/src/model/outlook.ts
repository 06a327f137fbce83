/** What a build will do, in figures: the plan's blobs, grouped by what happens to them. */

import type { Plan, PlannedLayer } from '../api/contract';

export interface Share {
  state: PlannedLayer['state'];
  /** The registry or the repository that the blobs come from; empty for other states. */
  source: string;
  bytes: number;
  layers: number;
}

const ORDER: readonly PlannedLayer['state'][] = [
  'there',
  'mounted',
  'copied',
  'uploaded',
  'built and uploaded',
  'built',
  'kept'
];

/** The blobs of a plan by their state and source, in the order in which the panel names them. */
export function shares(layers: readonly PlannedLayer[]): Share[] {
  const found = new Map<string, Share>();
  for (const { state, source, size } of layers) {
    const key = `${state} ${source}`;
    const share = found.get(key) ?? { state, source, bytes: 0, layers: 0 };
    found.set(key, { ...share, bytes: share.bytes + size, layers: share.layers + 1 });
  }
  return [...found.values()].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
}

/** The most important thing that a build will do: all is new, packages changed, only files changed, it only copies, or it does nothing. */
export type Headline = 'all' | 'changed' | 'files' | 'copied' | 'nothing';

export function headline(plan: Plan, compared: boolean): Headline {
  if (!compared || (plan.packages_changed === plan.packages && plan.packages > 0)) {
    return 'all';
  }
  if (plan.packages_changed > 0) {
    return 'changed';
  }
  const states = new Set(plan.layers.filter(layer => layer.kind !== 'configuration').map(layer => layer.state));
  if (states.has('built and uploaded') || states.has('built')) {
    return 'files';
  }
  return states.has('copied') || states.has('uploaded') ? 'copied' : 'nothing';
}
