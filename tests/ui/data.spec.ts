/** What comes from packages and logs is data: however hostile, and however much of it. */

import type { Page, Route } from '@playwright/test';

import type { Build, BuildEvent, Snapshot } from '../../labextension/src/api/contract';
import { expect, test } from './panel';

const EVIL = '<img src=x onerror="document.title=\'owned\'"><script>alert(1)</script>';
const ZERO = `sha256:${'0'.repeat(64)}`;

/** A finished build whose events are these. */
async function serve(page: Page, events: BuildEvent[], change: Partial<Build> = {}): Promise<void> {
  const build: Build = {
    id: '0123456789abcdef',
    state: 'failed',
    cancelling: false,
    position: null,
    created: Date.now() / 1000 - 60,
    started: null,
    ended: null,
    seconds: 1,
    request: {
      prefix: '/opt/x',
      lockfile: '',
      reference: 'registry.lab.org/lab/x:1',
      push: true,
      load: false,
      archive: '',
      engine: 'layers',
      base: 'debian',
      cache_from: [],
      include: '',
      strict: false,
      variables: false
    },
    kernel_id: '',
    kernel_name: '',
    result: null,
    error: { code: 'x', message: 'It failed', hint: '' },
    share: [],
    ...change
  };
  const json = (body: object) => (route: Route) => route.fulfill({ json: body });
  // JupyterLab puts a number behind each URL, against caches.
  await page.route(/condabuild\/builds(\?|$)/, json({ builds: [build] }));
  await page.route(new RegExp(`condabuild/builds/${build.id}(\\?|$)`), json(build));
  await page.route(new RegExp(`condabuild/builds/${build.id}/events(\\?|$)`), route =>
    route.fulfill({
      contentType: 'text/event-stream',
      body: events.map(event => `id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`).join('')
    })
  );
}

test('hostile names, messages and log lines stay text', async ({ page, panel }) => {
  const stamp = (seq: number) => ({ seq, time: 1_700_000_000 + seq });
  await page.route(/condabuild\/snapshots(\?|$)/, async route => {
    const response = await route.fetch();
    const snapshot = (await response.json()) as Snapshot;
    snapshot.name = EVIL;
    snapshot.channels = [{ url: `https://c.org/${EVIL}`, packages: 1 }];
    snapshot.warnings = [{ code: EVIL, message: EVIL, hint: EVIL }];
    snapshot.plan.layers = snapshot.plan.layers.map(layer => ({ ...layer, packages: [`${EVIL}-1-0`] }));
    await route.fulfill({ json: snapshot });
  });
  await serve(
    page,
    [
      { ...stamp(1), type: 'log', text: `\u001b[31m${EVIL}\u001b[0m\u001b]8;;javascript:alert(1)\u0007x`, stream: 'stderr' },
      { ...stamp(2), type: 'layer', key: 'k', packages: [EVIL], size: 5, state: 'built' },
      { ...stamp(3), type: 'warning', code: EVIL, message: EVIL, hint: EVIL },
      {
        ...stamp(4),
        type: 'finished',
        reference: EVIL,
        digest: ZERO,
        size: 1,
        bytes_pushed: 1,
        layers: 1,
        layers_reused: 0,
        seconds: 1,
        archive: '',
        environment: ZERO,
        command: []
      }
    ],
    {
      state: 'finished',
      error: null,
      result: {
        reference: EVIL,
        digest: ZERO,
        size: 1,
        bytes_pushed: 1,
        layers: 1,
        layers_reused: 0,
        seconds: 1,
        archive: '',
        environment: ZERO,
        command: []
      },
      share: [{ tool: EVIL, title: EVIL, text: EVIL, note: EVIL }]
    }
  );
  await panel.notebook();
  await panel.entrance.click();
  await expect(panel.node.getByRole('heading', { name: EVIL })).toBeVisible();
  await panel.button(/x:1/).click();
  await expect(panel.node.getByRole('tab', { name: EVIL })).toBeVisible();
  await panel.button('Log').click();
  await expect(panel.node.getByRole('log')).toContainText(EVIL);
  expect(await panel.node.locator('img, script, iframe, a').count()).toBe(0);
  expect(await page.title()).not.toContain('owned');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('200,000 lines: few rows in the page, and it stays in hand while following', async ({ page, panel }) => {
  const lines = 200_000;
  await serve(
    page,
    Array.from({ length: lines }, (_, n) => ({
      type: 'log' as const,
      seq: n + 1,
      time: 1_700_000_000 + n / 1000,
      text: `\u001b[32m[${n}]\u001b[0m collecting something with a name of the usual length`,
      stream: 'stdout' as const
    }))
  );
  await panel.notebook();
  await panel.entrance.click();
  await panel.go.waitFor();
  await page.evaluate(() => {
    const tasks: number[] = [];
    Object.assign(window, { longTasks: tasks });
    new PerformanceObserver(list => tasks.push(...list.getEntries().map(task => task.duration))).observe({
      type: 'longtask'
    });
  });
  await panel.button(/x:1/).click();
  const log = panel.node.getByRole('log');
  await expect(log.getByText(`[${lines - 1}]`)).toBeVisible({ timeout: 60_000 });
  // Tasks of the page, not times between frames: how busy the machine is besides says nothing about the panel.
  const tasks = await page.evaluate(() => (window as unknown as { longTasks: number[] }).longTasks);
  const longest = Math.max(0, ...tasks);
  const rows = await log.locator('.jp-CondaBuild-line').count();
  test.info().annotations.push({ type: 'log', description: `${rows} rows, longest task ${longest.toFixed(0)} ms` });
  console.info(`${rows} rows, tasks over 50 ms: ${tasks.map(task => task.toFixed(0)).join(' ') || 'none'}`);
  expect(rows).toBeLessThan(1000);
  // A machine that is busy with other things stretches every task; what is quadratic takes seconds.
  expect(longest).toBeLessThan(1000);
});
