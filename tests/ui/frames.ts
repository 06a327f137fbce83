/** Measures the work of the page between two frames in processor time, which does not contain other work of the machine. */

import type { Browser, Page } from '@playwright/test';

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  ts: number;
  /** The processor time of the thread, in microseconds. */
  tdur?: number;
  args?: { name?: string };
}

/** The milliseconds of each frame during `play`: the processor time of all tasks of the main thread since the previous frame. */
export async function framesDuring(browser: Browser, page: Page, play: () => Promise<void>): Promise<number[]> {
  await browser.startTracing(page, { categories: ['devtools.timeline', 'disabled-by-default-devtools.timeline'] });
  await play();
  const trace = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  return frames(trace.traceEvents);
}

function frames(events: TraceEvent[]): number[] {
  const tasks = events.filter(({ name, ph }) => name === 'RunTask' && ph === 'X');
  const main = events.filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain');
  const work = main.map(({ pid, tid }) => tasks.filter(task => task.pid === pid && task.tid === tid));
  const busiest = work.sort((a, b) => total(b) - total(a))[0] ?? [];
  const { pid, tid } = busiest[0] ?? { pid: 0, tid: 0 };
  const drawings = events
    .filter(event => event.name === 'Commit' && event.pid === pid && event.tid === tid)
    .map(({ ts }) => ts)
    .sort((a, b) => a - b);
  const sums = new Map<number, number>();
  let frame = 0;
  // A frame ends when its drawing is committed, inside the task that made the drawing.
  for (const task of busiest.sort((a, b) => a.ts - b.ts)) {
    while (frame < drawings.length && (drawings[frame] ?? 0) < task.ts) {
      frame++;
    }
    sums.set(frame, (sums.get(frame) ?? 0) + (task.tdur ?? 0) / 1000);
  }
  return [...sums.values()];
}

function total(tasks: TraceEvent[]): number {
  return tasks.reduce((sum, task) => sum + (task.tdur ?? 0), 0);
}
