/** How long the page works between two drawings, by its own clock: what a busy machine adds is not in it. */

import type { Browser, Page } from '@playwright/test';

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  ts: number;
  /** The time that the thread itself ran, in microseconds. */
  tdur?: number;
  args?: { name?: string };
}

/** Milliseconds of each frame while `play` goes on: the processor time of all tasks of the main thread since the frame before. */
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
  // A frame ends as what was drawn is handed over, within the task that drew it.
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
