/** What a build's events add up to: the state that the views of a running and of an ended build show. */

import type {
  BuildEvent,
  Fault,
  Finished,
  LayerEvent,
  LayerState,
  LogEvent,
  PhaseEvent,
  PhaseName,
  ProgressEvent
} from '../api/contract';
import { Lines, type LogLine } from './lines';
import { rated, type Rate } from './rate';
import { sizeText } from './units';

export interface Phase {
  state: 'started' | 'done';
  since: number;
  seconds: number | null;
}

export interface Layer {
  key: string;
  packages: string[];
  size: number;
  /** Each state that it reached: a layer is first built, then pushed. */
  states: LayerState[];
}

export interface Progress {
  complete: number;
  total: number;
  unit: 'bytes' | 'packages';
}

export interface BuildProgress {
  /** The number of the last event; a stream goes on after it. */
  seq: number;
  /** How many events never came: the stream jumped over them. */
  missed: number;
  phases: Partial<Record<PhaseName, Phase>>;
  layers: Record<string, Layer>;
  progress: Record<string, Progress>;
  rate: Rate;
  warnings: Fault[];
  lines: Lines;
  /** The last lines that a tool wrote, to its standard error and besides: what a failure is judged by. */
  lastOutput: { error: LogLine | null; log: LogLine | null };
  end: { finished: Finished } | { failed: Fault } | { cancelled: true } | null;
}

export const NO_EVENTS: BuildProgress = {
  seq: 0,
  missed: 0,
  phases: {},
  layers: {},
  progress: {},
  rate: { samples: [], perSecond: 0 },
  warnings: [],
  lines: Lines.NONE,
  lastOutput: { error: null, log: null },
  end: null
};

/** The state after some more events. What was seen before (a stream that was opened again) changes nothing. */
export function withEvents(state: BuildProgress, events: readonly BuildEvent[]): BuildProgress {
  const fresh = events.filter(inOrder(state.seq));
  if (!fresh.length) {
    return state;
  }
  const next: BuildProgress = {
    ...state,
    phases: { ...state.phases },
    layers: { ...state.layers },
    progress: { ...state.progress },
    warnings: state.warnings.slice(),
    lastOutput: { ...state.lastOutput }
  };
  const lines: LogLine[] = [];
  for (const event of fresh) {
    next.missed += event.seq - next.seq - 1;
    next.seq = event.seq;
    apply(next, event);
    const line = lineOf(event);
    if (line) {
      lines.push(line);
      if (event.type === 'log' && event.text.trim()) {
        next.lastOutput[event.stream === 'stderr' ? 'error' : 'log'] = line;
      }
    }
  }
  next.lines = state.lines.with(lines);
  return next;
}

function inOrder(seq: number): (event: BuildEvent) => boolean {
  let last = seq;
  return event => event.seq > last && ((last = event.seq), true);
}

function apply(state: BuildProgress, event: BuildEvent): void {
  switch (event.type) {
    case 'phase':
      state.phases[event.name] = {
        state: event.state,
        since: event.state === 'started' ? event.time : (state.phases[event.name]?.since ?? event.time),
        seconds: event.seconds
      };
      break;
    case 'progress':
      state.progress[event.subject] = { complete: event.complete, total: event.total, unit: event.unit };
      if (event.unit === 'bytes' && ['layers', 'push', 'load', 'export'].includes(event.subject)) {
        state.rate = rated(state.rate, event);
      }
      break;
    case 'layer':
      if (event.key) {
        const before = state.layers[event.key];
        state.layers[event.key] = {
          key: event.key,
          packages: event.packages,
          size: event.size || before?.size || 0,
          states: [...(before?.states ?? []), event.state]
        };
      }
      break;
    case 'warning':
      state.warnings.push({ code: event.code, message: event.message, hint: event.hint });
      break;
    case 'finished':
      state.end = { finished: event };
      break;
    case 'failed':
      state.end = { failed: { code: event.code, message: event.message, hint: event.hint } };
      break;
    case 'cancelled':
      state.end = { cancelled: true };
      break;
    case 'log':
      break;
    default:
      // An event of a newer server: it has its number, and nothing here depends on it.
      event satisfies never;
  }
}

const LINES: {
  phase: (event: PhaseEvent) => LogLine | null;
  log: (event: LogEvent) => LogLine;
  layer: (event: LayerEvent) => LogLine | null;
  progress: (event: ProgressEvent) => null;
} = {
  phase: ({ time, name, state, seconds }) =>
    state === 'done'
      ? { time, kind: 'phase', label: name, text: seconds === null ? '' : `${seconds.toFixed(2)} s` }
      : null,
  log: ({ time, text, stream }) => ({ time, kind: stream === 'stderr' ? 'error' : 'log', label: '', text }),
  layer: ({ time, key, packages, size, state }) =>
    key ? { time, kind: 'layer', label: state, text: `${packages.join(' ')}  ${sizeText(size)}` } : null,
  progress: () => null
};

function lineOf(event: BuildEvent): LogLine | null {
  const { time } = event;
  switch (event.type) {
    case 'phase':
      return LINES.phase(event);
    case 'log':
      return LINES.log(event);
    case 'layer':
      return LINES.layer(event);
    case 'warning':
      return { time, kind: 'warning', label: 'warning', text: event.message };
    case 'finished':
      return { time, kind: 'end', label: 'finished', text: `${event.reference || event.archive} ${event.digest}` };
    case 'failed':
      return { time, kind: 'error', label: 'failed', text: event.message };
    case 'cancelled':
      return { time, kind: 'end', label: 'cancelled', text: '' };
    default:
      return null;
  }
}
