/** The oldest JupyterLab that the panel supports. */

import { expect, Panel, test } from '../panel';
import { Stage } from '../stage';

test('the oldest JupyterLab has the whole panel, and no warning in the console', async ({ page }) => {
  test.setTimeout(180_000);
  const stage = await Stage.build('oldest');
  try {
    const said: string[] = [];
    page.on('console', message => ['warning', 'error'].includes(message.type()) && said.push(message.text()));
    page.on('pageerror', error => said.push(String(error)));
    const panel = new Panel(page, stage);
    await panel.open();
    const configuration = await page.locator('#jupyter-config-data').textContent();
    expect(configuration).toContain('"appVersion": "4.2.0"');
    await panel.width(360);
    await panel.inOrder();
    await panel.picture('oldest');
    await panel.go.click();
    await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
    await panel.inOrder();
    await panel.button(/Environment and history/).click();
    await expect(panel.recent.getByText(/ago|now/).first()).toBeVisible();
    await page.getByRole('menuitem', { name: 'Kernel', exact: true }).click();
    await expect(page.getByRole('menuitem', { name: 'Containerize Environment' })).toBeVisible();
    expect(said.filter(text => /condabuild|shared singleton|Error/i.test(text))).toEqual([]);
  } finally {
    await stage.strike();
  }
});
