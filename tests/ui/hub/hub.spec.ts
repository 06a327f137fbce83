/** The panel in the JupyterLab of a hub's user: behind the proxy, with the cookies of the hub. */

import { readFileSync } from 'node:fs';

import { expect, test } from '@playwright/test';

import { Gate } from '../gate';
import { Panel } from '../panel';

/** The variables of tests/hub/test_hub.py. */
function given(name: string): string {
  const value = process.env[`CONDABUILD_UI_${name}`];
  if (!value) {
    throw new Error(`CONDABUILD_UI_${name} is not set: run this test by pytest tests/hub`);
  }
  return value;
}

test('a person logs in to the hub and builds, while the proxy restarts', async ({ page }) => {
  const wrong: string[] = [];
  page.on('pageerror', error => wrong.push(String(error)));
  const gate = await Gate.before(given('REGISTRY'));
  try {
    const hub = given('HUB');
    await page.goto(`${hub}/hub/login`);
    await page.locator('input[name=username]').fill('alice');
    await page.locator('input[name=password]').fill('any');
    await page.locator('input[type=submit]').click();
    await page.waitForURL(/\/user\/alice\//, { timeout: 60_000 });

    const panel = new Panel(page, { url: `${hub}/user/alice`, token: '' });
    await panel.open();
    await panel.reference.fill(`${gate.address}/hub/${Date.now().toString(36)}:one`);
    await panel.reference.blur();
    await expect(panel.node.getByText(/packages go into the image/)).toBeVisible();
    gate.close();
    await panel.go.click();
    await expect(panel.node.getByRole('img', { name: /^Layers: .*\d+ built/ })).toBeVisible();

    process.kill(Number(readFileSync(given('PROXY'), 'utf8')), 'SIGKILL');
    await expect(page.request.get(`${hub}/user/alice/api`).then(answer => answer.ok())).rejects.toThrow();
    gate.release();
    await expect(panel.node.getByRole('heading', { name: 'Ready to share' })).toBeVisible({ timeout: 60_000 });
  } finally {
    gate.end();
  }
  expect(wrong).toEqual([]);
});
