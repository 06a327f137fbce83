/** The steps of a build as the panel displays them, and the progress of the whole build. */

import type { Asked, PhaseName } from '../api/contract';
import type { BuildProgress } from './build';

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
  /** From 0 to 1; null if nothing is known yet. */
  fraction: number | null;
  complete: number;
  total: number;
  /** Bytes per second; 0 if unknown. */
  rate: number;
  secondsLeft: number | null;
}

/** The progress of the whole build. Built bytes and sent bytes have the same weight. */
export function whole(build: BuildProgress, asked: Pick<Asked, 'push' | 'load' | 'archive'>): Whole {
  const made = bytes(build, 'layers');
  const subjects = [asked.push && 'push', asked.load && 'load', asked.archive && 'export'].filter(s => s !== false && s !== '');
  // Until the total to send is known, the total to build is its estimate.
  const sent = subjects.map(subject => {
    const { complete, total } = bytes(build, String(subject));
    return { complete, total: Math.max(total, made.total) };
  });
  const all = [made, ...sent];
  const complete = all.reduce((sum, part) => sum + part.complete, 0);
  const total = all.reduce((sum, part) => sum + part.total, 0);
  if (build.end !== null && 'finished' in build.end) {
    return { fraction: 1, complete: total, total, rate: 0, secondsLeft: null };
  }
  // The base image is sent before the total of the packages is known.
  if (!total || (!made.total && build.phases.layers?.state !== 'done')) {
    return { fraction: null, complete: 0, total: 0, rate: 0, secondsLeft: null };
  }
  const subject = sent.find(part => part.complete < part.total && part.complete > 0) ?? made;
  const rate = build.rate.perSecond;
  const left = subject.total - subject.complete;
  return {
    fraction: Math.min(complete / total, 1),
    complete: subject.complete,
    total: subject.total,
    rate,
    secondsLeft: rate > 0 && left > 0 ? left / rate : null
  };
}

function bytes(build: BuildProgress, subject: string): { complete: number; total: number } {
  const progress = build.progress[subject];
  return progress?.unit === 'bytes' ? progress : { complete: 0, total: 0 };
}
