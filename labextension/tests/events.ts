/** Events of builds for tests: they are numbered in order, with a tenth of a second between them. */

import type { BuildEvent } from '../src/api/contract';

type Unnumbered<E> = E extends BuildEvent ? Omit<E, 'seq' | 'time'> : never;

export function numbered(events: Unnumbered<BuildEvent>[], from = 1): BuildEvent[] {
  return events.map((event, index) => ({ ...event, seq: from + index, time: 1000 + (from + index) / 10 }) as BuildEvent);
}

export const log = (text: string): Unnumbered<BuildEvent> => ({ type: 'log', text, stream: 'stdout' });

export const LITTLE_BUILD = numbered([
  { type: 'phase', name: 'snapshot', state: 'started', seconds: null },
  { type: 'phase', name: 'snapshot', state: 'done', seconds: 0.5 },
  { type: 'warning', code: 'editable', message: 'mylib is editable', hint: 'Install it.', group: 'lost', why: '' },
  { type: 'phase', name: 'layers', state: 'started', seconds: null },
  { type: 'layer', key: '', packages: [], size: 42, state: 'mounted' },
  { type: 'layer', key: 'a', packages: ['numpy-2.4-py311_0'], size: 600, state: 'reused-remote' },
  { type: 'progress', subject: 'pandas-3.1-py311_0', complete: 10, total: 100, unit: 'bytes' },
  { type: 'progress', subject: 'build', complete: 610, total: 1000, unit: 'bytes' },
  { type: 'layer', key: 'b', packages: ['pandas-3.1-py311_0'], size: 100, state: 'built' },
  { type: 'layer', key: 'b', packages: ['pandas-3.1-py311_0'], size: 100, state: 'pushed' },
  log('done'),
  {
    type: 'finished',
    reference: 'registry.lab.org/sci:1',
    digest: `sha256:${'0'.repeat(64)}`,
    size: 1000,
    bytes_pushed: 100,
    layers: 2,
    layers_reused: 1,
    seconds: 1.9,
    archive: '',
    environment: `sha256:${'1'.repeat(64)}`,
    command: ['jupyter', 'lab'],
    stale: 0,
    proved: 0,
    unproved: 0,
    signature: '',
    signer: '',
    proof: null,
    sent: null,
    images: null,
    shared: 0
  }
]);
