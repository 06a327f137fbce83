/** The panel leaves the browser's few connections to JupyterLab, whatever builds run. */

import type { BrowserContext, Page, Request } from '@playwright/test';

import type { Build } from '../../../labextension/src/api/contract';
import { expect, test } from '../panel';

const BUILDS = 10;
const WINDOWS = 3;
const SAVES = 10;

/** The highest number of the extension's requests that waited for an answer at the same time. */
class Waiting {
  private readonly now = new Set<Request>();
  /** The short requests of one window, and the long requests of all windows. */
  readonly most = { short: 0, long: 0 };

  constructor(context: BrowserContext) {
    context.on('request', request => {
      if (/\/condabuild\/(?!static)/.test(request.url())) {
        this.now.add(request);
        const [short, long] = [true, false].map(wanted => [...this.now].filter(each => isShort(each) === wanted));
        const same = short?.filter(each => each.frame().page() === request.frame().page());
        this.most.short = Math.max(this.most.short, same?.length ?? 0);
        this.most.long = Math.max(this.most.long, long?.length ?? 0);
      }
    });
    const end = (request: Request): void => void this.now.delete(request);
    context.on('requestfinished', end);
    context.on('requestfailed', end);
  }
}

function isShort(request: Request): boolean {
  return /condabuild\/(updates|stamps)/.test(request.url());
}

/** Save a notebook as JupyterLab does, once a second by the clock of the page; returns the milliseconds of each request. */
function save(page: Page, times: number): Promise<number[]> {
  return page.evaluate(async times => {
    const xsrf = /_xsrf=([^;]+)/.exec(document.cookie)?.[1] ?? '';
    const content = { cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 };
    const milliseconds: number[] = [];
    for (let count = 0; count < times; count++) {
      const began = performance.now();
      const response = await fetch('/api/contents/saved.ipynb', {
        method: 'PUT',
        headers: { 'X-XSRFToken': xsrf },
        body: JSON.stringify({ type: 'notebook', format: 'json', content })
      });
      if (!response.ok) {
        throw new Error(`${response.status} ${await response.text()}`);
      }
      milliseconds.push(performance.now() - began);
      await new Promise(resolve => setTimeout(resolve, 1000 - (performance.now() - began)));
    }
    return milliseconds;
  }, times);
}

/** Open the panel in a window. */
async function openPanel(page: Page): Promise<void> {
  await page.locator('[data-jp-item-name="containerize"] :is(button, jp-button)').first().click();
  await expect(page.locator('.jp-CondaBuild').getByRole('button', { name: /^Build and/ })).toBeVisible();
}

test('ten builds in three windows: JupyterLab saves, and the panel leaves it connections', async ({
  context,
  page,
  panel,
  stage
}) => {
  test.setTimeout(240_000);
  await panel.notebook();
  const idle = await save(page, SAVES);
  stage.gate.close();
  const started = await Promise.all(
    Array.from({ length: BUILDS }, async (_, number) => {
      const reference = `${stage.gate.address}/${stage.team}/held:${number}`;
      const answer = await stage.ask('POST', 'builds', { prefix: stage.prefix, reference, push: true });
      return (await answer.json()) as Build;
    })
  );
  expect(new Set(started.map(({ id }) => id)).size).toBe(BUILDS);

  const pages = [page];
  await openPanel(page);
  while (pages.length < WINDOWS) {
    const other = await context.newPage();
    await other.goto(`${stage.url}/lab/workspaces/w${pages.length}/tree/analysis.ipynb?token=${stage.token}&reset`);
    await openPanel(other);
    pages.push(other);
  }
  const waiting = new Waiting(context);
  const held = (await Promise.all(pages.map(each => save(each, SAVES)))).flat();
  expect(waiting.most.short).toBe(1);
  expect(waiting.most.long).toBeLessThanOrEqual(2);
  for (const each of pages) {
    await each.locator('.jp-CondaBuild').getByRole('button', { name: /^Building / }).first().click();
    await expect(each.locator('.jp-CondaBuild').getByRole('button', { name: 'Cancel build' })).toBeVisible();
  }
  const p99 = (all: number[]): number => all.sort((a, b) => a - b)[Math.ceil(all.length * 0.99) - 1] ?? 0;
  console.info(`PUT of a notebook, p99: idle ${p99(idle).toFixed(0)} ms, with ${BUILDS} builds and ${WINDOWS} windows ${p99(held).toFixed(0)} ms`);

  // The other windows go on when one is killed.
  const [first, ...others] = pages;
  await first?.close({ runBeforeUnload: false });
  stage.gate.release();
  for (const each of others) {
    await expect(each.getByRole('heading', { name: 'Ready to share' })).toBeVisible({ timeout: 60_000 });
    await each.close();
  }
});
