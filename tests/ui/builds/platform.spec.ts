/** The environment of a Mac: a person chooses a platform, looks at what changes, and builds the image for Linux. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from '../panel';

test.afterAll(({ stage }) => rmSync(join(stage.folder, 'kernels/mac'), { recursive: true, force: true }));

test('the packages of a Mac: a platform, a table, and an image for Linux', async ({ page, panel, stage }) => {
  test.setTimeout(240_000);
  const folder = join(stage.folder, 'kernels/mac');
  mkdirSync(folder);
  const argv = [join(stage.mac, 'bin/python'), '-m', 'ipykernel_launcher', '-f', '{connection_file}'];
  writeFileSync(join(folder, 'kernel.json'), JSON.stringify({ argv, display_name: 'Mac', language: 'python' }));
  await page.goto(`${stage.url}/lab?token=${stage.token}&reset`);
  await page.locator('.jp-LauncherCard', { hasText: 'Containerize Environment' }).click({ timeout: 60_000 });
  await panel.node.getByRole('button', { name: /^mac/ }).click();

  await expect(panel.node.getByText('The environment is for osx-arm64')).toBeVisible({ timeout: 60_000 });
  const choice = panel.node.getByRole('region', { name: 'Packages for Linux' });
  await expect(choice.getByRole('combobox', { name: 'Platform' })).toHaveValue('linux-64');
  await panel.width(300);
  await panel.inOrder();
  await panel.picture('platform');
  await choice.getByRole('combobox', { name: 'Platform' }).selectOption('linux-64 and linux-aarch64 (one name for both)');
  await choice.getByRole('button', { name: 'Find the packages' }).click();

  const other = panel.node.getByRole('region', { name: 'From osx-arm64 to linux-aarch64', exact: true });
  await expect(other.getByText('of 5 the same build')).toBeVisible({ timeout: 60_000 });
  await panel.inOrder();
  const table = panel.node.getByRole('region', { name: 'From osx-arm64 to linux-64', exact: true });
  await expect(table.getByText('of 5 the same build')).toBeVisible({ timeout: 60_000 });
  await expect(table.getByRole('row', { name: /^libcxx .*the C\+\+ library of macOS$/ })).toBeVisible();
  await expect(table.getByRole('row')).toHaveCount(2);
  await panel.inOrder();
  await panel.picture('platform-table');
  await table.getByRole('button', { name: 'Show all packages' }).click();
  await expect(table.getByRole('row', { name: /^tqdm .*the same build$/ })).toBeVisible();
  await panel.inOrder();

  await panel.button(/Options/).click();
  const field = panel.node.getByRole('combobox', { name: 'Platform' });
  await expect(field).toHaveValue('linux-64,linux-aarch64');
  await field.selectOption('linux-64');
  await expect(other).toBeHidden({ timeout: 60_000 });
  await panel.go.click();
  await expect(panel.node.getByRole('heading', { name: /Ready|Share/ }).first()).toBeVisible({ timeout: 120_000 });
  const { builds } = (await (await stage.ask('GET', 'builds?limit=1')).json()) as { builds: { state: string; request: { platform: string } }[] };
  expect(builds[0]).toMatchObject({ state: 'finished', request: { platform: 'linux-64' } });
});
