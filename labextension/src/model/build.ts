/** The state of a build, made from its events. The views of running and ended builds display it. */

import type { BuildEvent, Fault, Finished, LayerState, PhaseName, Warning } from '../api/contract';
import { Lines, type LogLine } from './lines';
import { rated, type Rate } from './rate';
import { sizeText } from './units';

/** The subjects of progress that describe a whole job: a build, or a verification. */
export const WHOLE = ['build', 'verify'];

export interface Phase {
  state: 'started' | 'done';
  since: number;
  seconds: number | null;
}

export interface Layer {
  key: string;
  packages: string[];
  size: number;
  /** The states that the layer has reached, in order: a layer is first built, then pushed. */
  states: LayerState[];
}

export interface Progress {
  complete: number;
  total: number;
  unit: 'bytes' | 'packages';
}

export interface BuildProgress {
  /** The number of the last event; a new connection continues after it. */
  seq: number;
  /** The number of events that were never received. Gaps in the numbers of events show them. */
  missed: number;
  phases: Partial<Record<PhaseName, Phase>>;
  layers: Record<string, Layer>;
  progress: Record<string, Progress>;
  rate: Rate;
  warnings: Warning[];
  lines: Lines;
  /** The last lines that a tool wrote to its standard error and to its standard output; one of them explains a failure. */
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

/** The state after more events. Events that an earlier connection has sent change nothing. */
export function withEvents(state: BuildProgress, events: readonly BuildEvent[]): BuildProgress {
  let last = state.seq;
  const fresh = events.filter(event => {
    const isNew = event.seq > last;
    last = Math.max(last, event.seq);
    return isNew;
  });
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
      if (WHOLE.includes(event.subject)) {
        state.rate = rated(state.rate, event);
      }
      break;
    case 'layer':
      // The layers of the base image have neither a key nor packages.
      if (event.key || event.packages.length) {
        const key = event.key || event.packages.join(' ');
        const before = state.layers[key];
        state.layers[key] = {
          key,
          packages: event.packages,
          size: event.size || before?.size || 0,
          states: [...(before?.states ?? []), event.state]
        };
      }
      break;
    case 'warning':
      state.warnings.push({ code: event.code, message: event.message, hint: event.hint, group: event.group, why: event.why });
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
      // A newer server can send unknown events. They only advance `seq`.
      event satisfies never;
  }
}

/** The line of the log for an event; null if the event has no line. */
function lineOf(event: BuildEvent): LogLine | null {
  const { time } = event;
  switch (event.type) {
    case 'phase': {
      const text = event.seconds === null ? '' : `${event.seconds.toFixed(2)} s`;
      return event.state === 'done' ? { time, kind: 'phase', label: event.name, text } : null;
    }
    case 'log':
      return { time, kind: event.stream === 'stderr' ? 'error' : 'log', label: '', text: event.text };
    case 'layer': {
      const text = `${event.packages.join(' ')}  ${sizeText(event.size)}`;
      return event.key || event.packages.length ? { time, kind: 'layer', label: event.state, text } : null;
    }
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
