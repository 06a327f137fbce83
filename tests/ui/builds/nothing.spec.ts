/** From an open notebook to a command that a labmate can paste: with a registry, and without a registry and an engine. */

import { readFileSync, statSync } from 'node:fs';

import type { Page } from '@playwright/test';

import { expect, test } from '../panel';

/** Count the clicks of the person from now on. */
async function clicks(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(() => {
    const counted = window as unknown as { clicks: number };
    counted.clicks = 0;
    document.addEventListener('click', event => event.isTrusted && counted.clicks++, true);
  });
  return () => page.evaluate(() => (window as unknown as { clicks: number }).clicks);
}

test('with a registry, three clicks', async ({ page, panel }) => {
  await panel.notebook();
  const count = await clicks(page);
  await panel.entrance.click();
  await panel.button('Build and push').click();
  await panel.button(/^Copy: .*Docker/).click({ timeout: 60_000 });
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/^docker pull localhost:\d+\/lab-\S+\ndocker run/);
  expect(await count()).toBeLessThanOrEqual(3);
});

test.describe('without a registry and an engine', () => {
  test.beforeAll(async ({ stage }) => {
    Object.assign(stage.settings, { registry: '', docker_host: 'unix:///nowhere.sock' });
    await stage.restart();
  });
  test.afterAll(async ({ stage }) => {
    Object.assign(stage.settings, { registry: `${stage.gate.address}/${stage.team}`, docker_host: '' });
    await stage.restart();
  });

  test('four clicks: the archive is downloaded, and the command has its name', async ({ page, panel }) => {
    await panel.notebook();
    const count = await clicks(page);
    await panel.entrance.click();
    await panel.button('Build and save as archive').click();
    const link = panel.node.getByRole('link', { name: 'Download' });
    await link.waitFor({ timeout: 60_000 });
    const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
    await panel.button(/^Copy: .*Docker/).click();
    expect(await count()).toBeLessThanOrEqual(4);
    const name = download.suggestedFilename();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toContain(`docker load --input ${name}\n`);
    const file = panel.stage.file(name);
    expect(statSync(await download.path()).size).toBe(statSync(file).size);
    expect(readFileSync(await download.path()).equals(readFileSync(file))).toBe(true);
    await panel.width(300);
    await panel.inOrder();
    await panel.picture('archive');

    await panel.button('Show in the file browser').click();
    await expect(page.locator('.jp-DirListing-item.jp-mod-selected')).toHaveText(new RegExp(name));
  });

  test('what is not possible here says why, and Docker Hub is not asked', async ({ page, panel }) => {
    const asked: string[] = [];
    page.on('request', request => asked.push(request.postData() ?? ''));
    await panel.open();
    await panel.width(300);
    await expect(panel.node.getByText('Load into Docker: No container engine is running')).toBeVisible();
    await panel.button('Push to a registry').click();
    await expect(panel.node.getByText(/Put a registry before the name/)).toBeVisible();
    await expect(panel.go).toBeDisabled();
    await panel.reference.press('Enter');
    await panel.inOrder();
    await panel.picture('no-registry');
    await panel.reference.fill(`${panel.stage.gate.address}/${panel.stage.team}/typed:v1`);
    await expect(panel.go).toBeEnabled();
    await expect(panel.node.getByText(/packages? already in the registry|to push/).first()).toBeVisible();
    expect(asked.filter(body => body.includes('"reference":"') && !body.includes(panel.stage.team))).toEqual([]);
  });
});

test('a base that does not answer disables the button, and says why', async ({ panel, stage }) => {
  const { base_image } = stage.settings;
  // The registry of the settings has a base of the same name in another place, as a mirror has.
  const [, mirrored = ''] = /^[^/]+\/(.+)$/.exec(process.env['CONDABUILD_UI_MIRRORED'] ?? '') ?? [];
  stage.settings.base_image = `127.0.0.1:9/${mirrored}`;
  try {
    await stage.restart();
    await panel.open();
    await expect(panel.node.getByRole('alert').getByText('The base image is not available')).toBeVisible();
    await expect(panel.go).toBeDisabled();
    await panel.width(300);
    await panel.inOrder();
    await panel.picture('no-base');
    await panel.button(`Use ${stage.gate.address}/${mirrored}`).click();
    await expect(panel.go).toBeEnabled();
    await panel.go.click();
    await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
  } finally {
    stage.settings.base_image = base_image;
    await stage.restart();
  }
});
