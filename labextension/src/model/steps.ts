/** The steps of a build as the panel displays them, and the progress of the whole build. */

import type { Asked, PhaseName } from '../api/contract';
import { WHOLE, type BuildProgress } from './build';

export type StepName = 'snapshot' | 'lock' | 'layers' | 'push' | 'load' | 'export';

export interface Step {
  name: StepName;
  state: 'waiting' | 'running' | 'done';
  seconds: number | null;
}

const PHASES: Record<StepName, PhaseName[]> = {
  snapshot: ['snapshot'],
  lock: ['lock', 'plan'],
  layers: ['base', 'link', 'layers'],
  push: ['push'],
  load: ['load'],
  export: ['export']
};

/** The steps of a build, in order. */
export function steps(build: BuildProgress, asked: Pick<Asked, 'push' | 'load' | 'archive' | 'lockfile'>): Step[] {
  const names: StepName[] = asked.lockfile ? [] : ['snapshot'];
  names.push('lock', 'layers');
  if (asked.push) {
    names.push('push');
  }
  if (asked.load) {
    names.push('load');
  }
  if (asked.archive) {
    names.push('export');
  }
  const over = build.end !== null && 'finished' in build.end;
  return names.map(name => {
    const phases = PHASES[name].flatMap(phase => build.phases[phase] ?? []);
    const last = build.phases[PHASES[name][PHASES[name].length - 1] ?? name];
    const state = over || last?.state === 'done' ? 'done' : phases.length ? 'running' : 'waiting';
    const known = phases.filter(phase => phase.seconds !== null);
    return { name, state, seconds: known.length ? known.reduce((sum, phase) => sum + (phase.seconds ?? 0), 0) : null };
  });
}

export interface Whole {
  /** From 0 to 1; null if nothing is known yet. It never falls, because the total is fixed when the plan is. */
  fraction: number | null;
  complete: number;
  total: number;
  /** Bytes per second; 0 if unknown. */
  rate: number;
  secondsLeft: number | null;
}

const UNKNOWN: Whole = { fraction: null, complete: 0, total: 0, rate: 0, secondsLeft: null };

/** The progress of the whole build, in bytes that are made, sent, loaded and written. */
export function whole(build: BuildProgress): Whole {
  const known = WHOLE.map(subject => build.progress[subject]).find(progress => progress !== undefined && progress.total > 0);
  if (build.end !== null && 'finished' in build.end) {
    const total = known?.total ?? 0;
    return { ...UNKNOWN, fraction: 1, complete: total, total };
  }
  if (!known) {
    return UNKNOWN;
  }
  const { complete, total } = known;
  const rate = build.rate.perSecond;
  const left = total - complete;
  return { fraction: Math.min(complete / total, 1), complete, total, rate, secondsLeft: rate > 0 && left > 0 ? left / rate : null };
}
