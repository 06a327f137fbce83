/** The files for other systems, and the lock file: saved in the workspace, and downloaded. */

import { existsSync, mkdirSync, readFileSync } from 'node:fs';

import { expect, test } from '../panel';

test('files and lock files are saved in the workspace, replaced after a question, and downloaded', async ({ page, panel, stage }) => {
  mkdirSync(stage.file('project'), { recursive: true });
  await panel.open();
  await panel.width(300);
  await panel.button(/^Export files/).click();
  const kinds = panel.node.getByRole('combobox', { name: 'Files' });
  await kinds.selectOption('GitHub Actions');
  const dialog = page.locator('.jp-Dialog');
  const save = async (): Promise<void> => {
    await panel.button('Save in the workspace…').click();
    await dialog.locator('input').fill('project');
    await dialog.getByRole('button', { name: 'Save' }).click();
  };
  await save();
  await expect(panel.node.getByText(/^Saved: .*project\/\.github\/workflows/)).toBeVisible({ timeout: 60_000 });
  expect(existsSync(stage.file('project/.github/workflows'))).toBe(true);
  await panel.inOrder();
  await panel.picture('exports');

  await kinds.selectOption('environment.yml');
  await save();
  await expect(panel.node.getByText('Saved: project/environment.yml')).toBeVisible();
  await panel.button('Show in the file browser').click();
  await expect(page.locator('.jp-DirListing-item.jp-mod-selected')).toHaveText(/environment\.yml/);

  await panel.reference.fill(`${stage.gate.address}/${stage.team}/another:v2`);
  await kinds.selectOption('GitHub Actions');
  await save();
  await expect(dialog.getByText('Replace the files?')).toBeVisible({ timeout: 60_000 });
  await dialog.getByRole('button', { name: 'Replace' }).click();
  await expect(panel.node.getByText(/^Saved: /)).toBeVisible({ timeout: 60_000 });

  const button = panel.node.getByRole('button', { name: 'Download' });
  const [download] = await Promise.all([page.waitForEvent('download', { timeout: 60_000 }), button.click()]);
  expect(download.suggestedFilename()).toBe('github-actions.tar');
  expect(readFileSync(await download.path(), 'latin1')).toContain('.github/workflows/');
});
