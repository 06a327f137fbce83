/** Texts of packages and logs are data, even if they are hostile or very long. */

import type { Page } from '@playwright/test';

import type { Build, BuildEvent, Finished, Snapshot } from '../../../labextension/src/api/contract';
import { aBuild, RESULT } from '../../../labextension/tests/things';
import { framesDuring } from '../frames';
import { expect, test } from '../panel';
import { serveBuilds } from '../served';

const EVIL = '<img src=x onerror="document.title=\'owned\'"><script>alert(1)</script>';

/** Add a finished build with these events. */
async function serve(page: Page, events: BuildEvent[], change: Partial<Build> = {}): Promise<void> {
  const failed = { error: { code: 'x', message: 'It failed', hint: '' }, created: Date.now() / 1000 - 60 };
  const request = { ...aBuild().request, reference: 'registry.lab.org/lab/x:1' };
  const build = aBuild({ ...failed, request, ...change });
  await serveBuilds(page, [{ build, events }]);
}

test('hostile names, messages and log lines stay text', async ({ page, panel }) => {
  const result: Finished = { ...RESULT, reference: EVIL };
  const stamp = (seq: number) => ({ seq, time: 1_700_000_000 + seq });
  await page.route(/condabuild\/snapshots(\?|$)/, async route => {
    const response = await route.fetch();
    const snapshot = (await response.json()) as Snapshot;
    snapshot.name = EVIL;
    snapshot.channels = [{ url: `https://c.org/${EVIL}`, packages: 1 }];
    snapshot.warnings = [{ code: EVIL, message: EVIL, hint: EVIL, group: 'note', why: EVIL }];
    snapshot.plan.layers = snapshot.plan.layers.map(layer => ({ ...layer, packages: [`${EVIL}-1-0`] }));
    await route.fulfill({ json: snapshot });
  });
  await serve(
    page,
    [
      { ...stamp(1), type: 'log', text: `\u001b[31m${EVIL}\u001b[0m\u001b]8;;javascript:alert(1)\u0007x`, stream: 'stderr' },
      { ...stamp(2), type: 'layer', key: 'k', packages: [EVIL], size: 5, state: 'built' },
      { ...stamp(3), type: 'warning', code: EVIL, message: EVIL, hint: EVIL, group: 'note', why: EVIL },
      { ...stamp(4), type: 'finished', ...result }
    ],
    {
      state: 'finished',
      error: null,
      result,
      share: [{ tool: EVIL as 'docker', title: EVIL, text: EVIL, note: EVIL }]
    }
  );
  await panel.notebook();
  await panel.entrance.click();
  await expect(panel.node.getByRole('heading', { name: EVIL })).toBeVisible();
  await panel.button(/^x:1/).click();
  await expect(panel.node.getByRole('tab', { name: EVIL })).toBeVisible();
  await panel.button('Log').click();
  await expect(panel.node.getByRole('log')).toContainText(EVIL);
  expect(await panel.node.locator('img, script, iframe, a').count()).toBe(0);
  expect(await page.title()).not.toContain('owned');
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});

test('200,000 lines: few rows in the page, no frame over 100 ms while following, and each line takes the same time', async ({
  browser,
  page,
  panel
}) => {
  test.setTimeout(180_000);
  const follow = async (lines: number): Promise<number[]> => {
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
    await expect(panel.node.getByText('Comparing with the registry…')).toBeHidden();
    const frames = await framesDuring(browser, page, async () => {
      await panel.button(/^x:1/).click();
      await expect(log.getByText(`[${lines - 1}]`)).toBeVisible({ timeout: 60_000 });
    });
    console.info(
      `${lines} lines: ${work(frames).toFixed(0)} ms in ${frames.length} frames, the longest ${Math.max(...frames).toFixed(0)} ms`
    );
    return frames;
  };
  const work = (frames: number[]): number => frames.reduce((sum, frame) => sum + frame, 0);
  const log = panel.node.getByRole('log');
  await follow(25_000);
  const [few, many] = [await follow(25_000), await follow(200_000)];
  expect(await log.locator('.jp-CondaBuild-line').count()).toBeLessThan(1000);
  expect(few.length).toBeGreaterThan(5);
  expect(Math.max(...many)).toBeLessThan(100);
  // Eight times the lines take less than eight times the work, because opening takes some. If each batch or frame read all lines, the work would be many times larger.
  expect(work(many) / work(few)).toBeLessThan(6);

  const searching = await framesDuring(browser, page, async () => {
    await panel.node.getByRole('searchbox', { name: 'Search the log' }).fill('USUAL length');
    await expect(panel.node.getByText('200000 lines')).toBeVisible();
  });
  console.info(`a search: ${work(searching).toFixed(0)} ms, the longest frame ${Math.max(...searching).toFixed(0)} ms`);
  expect(Math.max(...searching)).toBeLessThan(100);
});
