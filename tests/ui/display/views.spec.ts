/** The panel for everybody: every view in every theme, with a keyboard, with forced colours, and in a small window. */

import type { Build } from '../../../labextension/src/api/contract';
import { LITTLE_BUILD } from '../../../labextension/tests/events';
import { aBuild, RESULT } from '../../../labextension/tests/things';
import { expect, test } from '../panel';
import { serveBuilds, type Served } from '../served';

const THEMES = '@jupyterlab/apputils-extension:themes';

/** A build for each view, by the name of its image. */
function builds(): Served[] {
  const share: Build['share'] = [{ tool: 'docker', title: 'Run JupyterLab with Docker', text: 'docker run --rm -it \\\n  image', note: 'Note.' }];
  const ended = LITTLE_BUILD.slice(0, -1);
  const made: [string, Partial<Build>, Served['events']][] = [
    ['runs', { state: 'running' }, ended.slice(0, 8)],
    ['waits', { state: 'queued', position: 1 }, []],
    ['done', { state: 'finished', result: RESULT, share }, LITTLE_BUILD],
    ['earlier', { state: 'finished', result: { ...RESULT, environment: 'earlier' }, share }, LITTLE_BUILD],
    ['proved', { command: 'verify', state: 'finished', result: { ...RESULT, proved: 3, unproved: 1 } }, LITTLE_BUILD],
    ['failed', { state: 'failed', error: { code: 'registry_denied', message: 'No: r.org says no', hint: 'Sign in.' } }, ended],
    ['cancelled', { state: 'cancelled' }, ended]
  ];
  const now = Date.now() / 1000;
  return made.map(([name, change, events], index) => ({
    build: aBuild({
      id: String(index).padStart(16, '0'),
      created: now - 60 * index,
      request: { ...aBuild().request, reference: `registry.lab.org/team/${name}:1` },
      ...change
    }),
    events
  }));
}

for (const theme of ['JupyterLab Light', 'JupyterLab Dark', 'JupyterLab Dark High Contrast']) {
  test(`axe finds nothing in any view: ${theme}`, async ({ page, panel, stage }) => {
    test.setTimeout(180_000);
    await stage.set(THEMES, { theme });
    try {
      await serveBuilds(page, builds());
      await page.route(/condabuild\/diffs(\?|$)/, route =>
        route.fulfill({ json: { equal: false, before: '', after: '', same: 1, changes: [{ name: 'numpy', manager: 'conda', kind: 'changed', before: '2.3-0', after: '2.4-0' }] } })
      );
      await panel.open();
      await panel.width(360);
      await panel.button(/Options/).click();
      await panel.button('Show the list').click();
      await panel.button('Show as a table').click();
      await panel.inOrder();
      const name = theme.toLowerCase().replaceAll(' ', '-');
      await panel.picture(`access-${name}`);
      for (const view of ['runs', 'waits', 'done', 'proved', 'failed', 'cancelled']) {
        await panel.recent.getByRole('searchbox').fill(view);
        await panel.recent.getByRole('button', { name: new RegExp(`^${view}:1`) }).click();
        await expect(panel.recent).toBeHidden();
        if (view === 'failed') {
          await panel.button(/^Sign in to/).click();
        }
        await panel.inOrder();
        await panel.picture(`access-${name}-${view}`);
        await panel.button(/Environment and history/).click();
      }
      await panel.button('Actions for done:1').click();
      await panel.inOrder();
      await panel.recent.getByRole('button', { name: 'Compare' }).click();
      await expect(panel.node.getByLabel('Compared with')).toBeVisible();
      await panel.inOrder();
    } finally {
      await stage.set(THEMES, {});
    }
  });
}

test('with forced colours, the map, the dots, the bar and the buttons are in sight', async ({ page, panel }) => {
  await page.emulateMedia({ forcedColors: 'active' });
  await serveBuilds(page, builds());
  await panel.open();
  await panel.width(360);
  const seen = (selector: string): Promise<{ color: string; border: string; canvas: string }[]> =>
    panel.node.locator(selector).evaluateAll(nodes =>
      nodes.map(node => {
        const { backgroundColor: color, borderTopWidth: border } = getComputedStyle(node);
        return { color, border, canvas: getComputedStyle(document.body).backgroundColor };
      })
    );
  for (const selector of ['.jp-CondaBuild-tile', '.jp-CondaBuild-key', '.jp-CondaBuild-dot']) {
    const all = await seen(selector);
    expect(all.length).toBeGreaterThan(0);
    expect(all.filter(({ color, canvas }) => color === canvas || color === 'rgba(0, 0, 0, 0)')).toEqual([]);
  }
  expect((await seen('button')).filter(({ border }) => border === '0px')).toEqual([]);
  await panel.picture('forced-colours');
  await panel.recent.getByRole('button', { name: /^runs:1/ }).click();
  const [bar] = await seen('.jp-CondaBuild-bar > div');
  expect(bar?.color).not.toBe(bar?.canvas);
  await panel.picture('forced-colours-runs');
});

test('at the keyboard, the focus stays in the panel when a build starts and when it ends', async ({ page, panel, stage }) => {
  await panel.open();
  await panel.reference.fill(`${stage.gate.address}/${stage.team}/keyboard:1`);
  await expect(panel.node.getByText('Comparing with the registry…')).toBeHidden();
  stage.gate.close();
  await panel.go.focus();
  await page.keyboard.press('Enter');
  await expect(panel.button('Cancel build')).toBeVisible();
  const title = panel.node.getByRole('heading', { name: stage.prefix.split('/').pop() ?? '', exact: true });
  await expect(title).toBeFocused();
  await panel.button('Cancel build').focus();
  stage.gate.release();
  await expect(panel.node.getByRole('heading', { name: 'Ready to share' })).toBeFocused({ timeout: 60_000 });
  await page.keyboard.press('Tab');
  await expect(panel.node.locator(':focus')).toHaveCount(1);
});

test('the history is searched and filtered', async ({ page, panel }) => {
  await serveBuilds(page, builds());
  await panel.open();
  await panel.width(300);
  const entries = panel.recent.locator('.jp-CondaBuild-history > li');
  const search = panel.recent.getByRole('searchbox', { name: 'Search the history' });
  await search.fill('no such name');
  await expect(panel.recent.getByText('No build fits.')).toBeVisible();
  await search.fill('team');
  await expect(entries).toHaveCount(7);
  await panel.recent.getByRole('combobox', { name: 'Show only' }).selectOption('Failed or cancelled');
  await expect(entries).toHaveText([/^failed:1/, /^cancelled:1/]);
  await panel.inOrder();
});

test('the map has a table with the same content', async ({ panel }) => {
  await panel.open();
  await panel.button('Show as a table').focus();
  await panel.page.keyboard.press('Enter');
  const table = panel.node.getByRole('table', { name: 'Layers of the plan' });
  const tiles = await panel.node.locator('.jp-CondaBuild-tile').count();
  await expect(table.getByRole('row')).toHaveCount(tiles + 1);
  const hover = (await panel.node.locator('.jp-CondaBuild-tile').first().getAttribute('title')) ?? '';
  for (const part of hover.split('\n')) {
    await expect(table.getByRole('row').nth(1)).toContainText(part);
  }
});

test('in a window at 200 % zoom, a notebook leads to the panel, which is whole', async ({ page, panel }) => {
  // A window of 1400 pixels at 200 % has half of the pixels of CSS.
  await page.setViewportSize({ width: 700, height: 500 });
  await panel.notebook();
  await expect(panel.entrance).toBeVisible();
  await panel.entrance.click();
  await panel.go.waitFor();
  await panel.inOrder();
  await page.screenshot({ path: 'tests/ui/results/pictures/zoom-200.png' });
  await expect(panel.go).toBeInViewport();
  await panel.reference.focus();
  const [field, button] = await Promise.all([panel.reference.boundingBox(), panel.go.boundingBox()]);
  const overlap = Math.min(field!.y + field!.height, button!.y + button!.height) - Math.max(field!.y, button!.y);
  expect(overlap).toBeLessThanOrEqual(0);
});
