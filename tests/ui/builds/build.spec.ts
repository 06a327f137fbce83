/** A complete build in the panel: start, progress, result, history, and the command for a labmate. */

import { expect, test } from '../panel';

test.describe.configure({ mode: 'serial' });

test('JupyterLab starts without a request of the extension, and the extension registers quickly', async ({ page, panel }) => {
  const asked: string[] = [];
  page.on('request', request => request.url().includes('/condabuild/') && asked.push(request.url()));
  await panel.notebook();
  expect(asked).toEqual([]);
  const milliseconds = await page.evaluate(
    () => performance.getEntriesByName('jupyter-condabuild:plugin')[0]?.duration
  );
  test.info().annotations.push({ type: 'activation', description: `${milliseconds} ms` });
  expect(milliseconds).toBeLessThan(20);
});

test('the panel opens from the toolbar, the menu and the command palette', async ({ page, panel }) => {
  await panel.notebook();
  await expect(panel.node).toBeHidden();
  await panel.entrance.click();
  await expect(panel.node).toBeVisible();
  await page.getByRole('menuitem', { name: 'Kernel', exact: true }).click();
  await expect(page.getByRole('menuitem', { name: 'Containerize Environment' })).toBeVisible();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+Shift+C');
  await page.locator('#modal-command-palette input').fill('containerize');
  await expect(page.locator('#modal-command-palette').getByText('Containerize Environment')).toBeVisible();
});

test('before a build: the environment, the destination and the plan', async ({ panel }) => {
  await panel.open();
  await panel.width(360);
  await expect(panel.node.getByText(/analysis.ipynb · Python 3\.\d+/)).toBeVisible();
  await expect(panel.node.getByRole('region', { name: 'What goes in' }).getByText(/\d+ packages/)).toBeVisible();
  await expect(panel.reference).toHaveValue(/^localhost:\d+\/lab-\w+\/[a-z0-9-]+:\d{4}-\d\d-\d\d$/);
  await expect(panel.node.getByText(/packages go into the image/)).toBeVisible();
  await expect(panel.node.getByRole('img', { name: /^Layers of the plan: \d+ to build/ })).toBeVisible();
  await panel.picture('before', 1080);
  await panel.button(/Options/).click();
  await panel.inOrder();
  await panel.width(300);
  await panel.inOrder();
  await panel.picture('before-300');
});

test('during a build: its progress is displayed in every window, after a reload and after a restart of the server', async ({
  context,
  page,
  panel,
  stage
}) => {
  await panel.open();
  await panel.width(360);
  stage.gate.close();
  await panel.go.click();
  const layers = panel.node.getByRole('img', { name: /^Layers: .*\d+ built/ });
  await expect(layers).toBeVisible();
  await expect(panel.node.locator('[aria-current=step]', { hasText: 'Layers' })).toBeVisible();
  await expect(panel.node.getByRole('progressbar')).toHaveAttribute('aria-valuenow', /\d+/);
  await expect(panel.node.getByRole('log').getByText(/Linking \d+ packages/)).toBeVisible();
  await panel.inOrder();
  await panel.picture('during');

  await page.reload();
  await panel.button(/^Building /).click();
  await expect(layers).toBeVisible();

  const second = await context.newPage();
  await second.goto(`${stage.url}/lab/tree/analysis.ipynb?reset`);
  await second.locator('[data-jp-item-name="containerize"] :is(button, jp-button)').first().click();
  await second.locator('.jp-CondaBuild').getByRole('button', { name: /^Building / }).click();
  await expect(second.getByRole('img', { name: /^Layers: .*\d+ built/ })).toBeVisible();

  await stage.restart();
  stage.gate.release();
  for (const each of [page, second]) {
    await expect(each.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
  }
  await second.close();
});

test('after a build: the command for a labmate, and the sizes of packages', async ({ page, panel }) => {
  await panel.open();
  await panel.width(360);
  await expect(panel.node.getByText('Nothing to build: all of it is there')).toBeVisible();
  await panel.recent.getByRole('button', { name: /MB/ }).first().click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible();
  await expect(panel.node.getByRole('img', { name: /^Where the bytes are/ })).toBeVisible();
  await panel.inOrder();
  await panel.picture('after');
  await panel.node.getByRole('tab', { name: 'Docker' }).focus();
  for (const tool of ['Podman', 'Apptainer', 'conda']) {
    await page.keyboard.press('ArrowRight');
    await expect(panel.node.getByRole('tab', { name: tool })).toHaveAttribute('aria-selected', 'true');
  }
  await panel.node.getByRole('tab', { name: 'Docker' }).click();
  await panel.button(/^Copy: .*Docker/).first().click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('docker run');
  await panel.button('Log').click();
  await panel.width(280);
  const search = panel.node.getByRole('searchbox', { name: 'Search the log' });
  expect((await search.boundingBox())?.width).toBeGreaterThan(80);
  await panel.button('Wrap').click();
  const beyond = panel.node.getByRole('log').evaluate(log => log.scrollWidth - log.clientWidth);
  expect(await beyond).toBe(0);
  await panel.inOrder();
  await panel.picture('log-280');
  await search.fill('linking');
  await expect(panel.node.getByText('1 line', { exact: true })).toBeVisible();
});

test('after a build: the advice for a smaller image', async ({ panel }) => {
  await panel.open();
  await panel.width(360);
  await panel.recent.getByRole('button', { name: /MB/ }).first().click();
  await panel.button('How to make it smaller').click();
  await expect(panel.node.getByRole('listitem').filter({ hasText: /MB/ })).toHaveCount(5);
  await expect(panel.node.getByText(/The base image: \d/)).toBeVisible();
  await panel.inOrder();
});

test('after a build: the verification of the image', async ({ panel }) => {
  await panel.open();
  await panel.width(360);
  await panel.recent.getByRole('button', { name: /MB/ }).first().click();
  await panel.button('Verify').click();
  await expect(panel.node.getByText(/It is what its lock file makes|Nothing differs, but not all is proved/)).toBeVisible({ timeout: 60_000 });
  await expect(panel.node.getByText(/\d+ packages proved/).first()).toBeVisible();
  await panel.inOrder();
  await panel.picture('verified');
});

test('history: repeat and compare builds', async ({ panel }) => {
  await panel.open();
  await panel.width(360);
  const earlier = panel.recent.getByRole('button', { name: /^\d+ earlier builds? of this name/ }).first();
  await panel.recent.getByRole('button', { name: /MB/ }).first().click();
  await panel.button('Rebuild').click();
  await expect(panel.node.getByText('The packages and all other files are the same.')).toBeVisible();
  await panel.button(/Environment and history/).click();
  // "2 earlier builds of this name, 1 verification"
  const numbers = ((await earlier.textContent()) ?? '').match(/\d+(?= (earlier|verif))/g) ?? [];
  const before = numbers.reduce((sum, each) => sum + Number(each), 0);
  await earlier.click();
  await expect(panel.recent.getByRole('listitem').first().getByRole('listitem')).toHaveCount(before);
  await panel.button(/^Actions for/).first().click();
  await panel.inOrder();
  await panel.picture('history', 1220);
  await panel.width(300);
  await panel.inOrder();
  await panel.picture('history-300');
  await panel.recent.getByRole('button', { name: 'Compare' }).click();
  await expect(panel.node.getByLabel('Compared with')).toBeVisible();
  await panel.inOrder();
});

test('history: a rebase builds no layer', async ({ page, panel }) => {
  await panel.open();
  await panel.button(/^Actions for/).first().click();
  await panel.recent.getByRole('button', { name: 'New base…' }).click();
  // The suggested name is another one, so that nothing is replaced.
  const target = page.locator('.jp-Dialog').getByRole('textbox', { name: /^Name of the new image/ });
  await expect(target).toHaveValue(/-base2$/);
  await page.locator('.jp-Dialog').getByRole('button', { name: 'Change the base' }).click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
  await expect(panel.node.locator('.jp-mod-name')).toHaveText(/-base2$/);
  await expect(panel.node.getByText(/0 of \d+ layers built/)).toBeVisible();
  await panel.inOrder();
});

test('history: a build is deleted after a confirmation', async ({ page, panel }) => {
  await panel.open();
  const entries = panel.recent.locator('.jp-CondaBuild-history > li');
  const before = await entries.count();
  await panel.button(/^Actions for/).first().click();
  await panel.recent.getByRole('button', { name: 'Delete' }).click();
  await page.locator('.jp-Dialog').getByRole('button', { name: 'Keep' }).click();
  await expect(entries).toHaveCount(before);
  await panel.recent.getByRole('button', { name: 'Delete' }).click();
  await page.locator('.jp-Dialog').getByRole('button', { name: 'Delete' }).click();
  await expect(entries).toHaveCount(before - 1);
  await page.reload();
  await expect(entries).toHaveCount(before - 1);
});
