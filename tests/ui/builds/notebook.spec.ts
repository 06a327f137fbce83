/** Jupyter Notebook 7, which shows one document in each page, and the panel beside it. */

import { expect, Panel, test } from '../panel';
import { Stage } from '../stage';

const BASE = process.env['CONDABUILD_UI_MIRRORED'] ?? '';

test('Notebook 7 has the whole panel: a build, the check of its image, and an image that is opened by its name', async ({ page }) => {
  test.setTimeout(240_000);
  const stage = await Stage.build('notebook');
  try {
    const wrong: string[] = [];
    page.on('pageerror', error => wrong.push(error.stack ?? String(error)));
    const panel = new Panel(page, stage);
    await page.goto(`${stage.url}/notebooks/analysis.ipynb?token=${stage.token}`);
    await panel.entrance.click({ timeout: 60_000 });
    await panel.go.waitFor({ timeout: 60_000 });
    await panel.inOrder();
    const name = `${stage.gate.address}/${stage.team}/shared:v1`;
    await panel.shareChecked(name, BASE);
    await panel.inOrder();
    await page.screenshot({ path: panel.pictureFile('notebook-7-checked') });
    await page.getByRole('menuitem', { name: 'Kernel', exact: true }).click();
    await page.getByRole('menuitem', { name: 'Open an Image…' }).click();
    await expect(panel.node.getByLabel('The name that somebody gave you')).toBeFocused();
    await page.keyboard.insertText(name);
    await page.keyboard.press('Enter');
    await expect(panel.node.getByText('This machine has pushed the image')).toBeVisible();
    await expect(panel.node.getByText('The packages are the same.')).toBeVisible();
    await panel.button('Run this notebook in the image').click();
    await expect(panel.node.getByText('This notebook runs in the image.')).toBeVisible({ timeout: 60_000 });
    await panel.inOrder();
    await page.screenshot({ path: panel.pictureFile('notebook-7-image') });
    const { kernels } = (await (await stage.ask('GET', 'kernels')).json()) as { kernels: { name: string }[] };
    await stage.ask('DELETE', `kernels?name=${kernels[0]?.name}`);
    expect(wrong.filter(stack => stack.includes('condabuild'))).toEqual([]);
  } finally {
    await stage.strike();
  }
});
