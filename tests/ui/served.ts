/** Builds that a test serves instead of the server: in any state, with any events. */

import type { Page, Route } from '@playwright/test';

import type { Build, BuildEvent } from '../../labextension/src/api/contract';

/** About the events in one answer of the server. */
const MOST_EVENTS = 3000;

export interface Served {
  build: Build;
  events: BuildEvent[];
}

/** Serve these builds and no others. A test may change them later. */
export async function serveBuilds(page: Page, served: Served[]): Promise<void> {
  // JupyterLab adds a number to each URL to avoid caches.
  await page.route(/condabuild\/builds(\?|$)/, (route: Route) => route.fulfill({ json: { builds: served.map(({ build }) => build) } }));
  await page.route(/condabuild\/updates\?after/, route => {
    const after = new URL(route.request().url()).searchParams.getAll('after').flatMap(text => text.split(','));
    const updates = after.flatMap(position => {
      const [id, seq] = position.split(':');
      const found = served.find(({ build }) => build.id === id);
      if (!found) {
        return [];
      }
      const { build, events } = found;
      const part = events.filter(event => event.seq > Number(seq)).slice(0, MOST_EVENTS);
      const isOver = build.state !== 'queued' && build.state !== 'running';
      const state = (part.at(-1)?.seq ?? Number(seq)) < events.length ? 'more' : isOver ? 'complete' : 'waiting';
      return [{ id, state, build, events: part }];
    });
    return route.fulfill({ json: { updates, others: [] } });
  });
}
