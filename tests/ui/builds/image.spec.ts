/** A labmate opens an image by its name: what is inside, its kernel in a notebook, and the way back. The engine and the kernels are real. */

import type { Page } from '@playwright/test';

import { expect, test } from '../panel';

const BASE = process.env['CONDABUILD_UI_MIRRORED'] ?? '';
const LANGUAGE = '@jupyterlab/translation-extension:plugin';
const THEMES = '@jupyterlab/apputils-extension:themes';

test.describe.configure({ mode: 'serial', timeout: 180_000 });

/** The name of the image that the first test builds. */
let name = '';

/** Execute a line in the current notebook's last cell by the keyboard, and wait for what it prints. */
async function execute(page: Page, line: string, printed: string): Promise<void> {
  const notebook = page.locator('.jp-NotebookPanel:not(.lm-mod-hidden)');
  await notebook.locator('.jp-CodeCell .cm-content').last().fill(line);
  await page.keyboard.press('Shift+Enter');
  await expect(notebook.locator('.jp-OutputArea-output').last()).toHaveText(printed, { timeout: 60_000 });
}

test('after a build, the notebook runs in the image, and goes back to its own kernel', async ({ page, panel, stage }) => {
  await panel.open();
  await panel.width(360);
  name = `${stage.gate.address}/${stage.team}/shared:v1`;
  await panel.reference.fill(name);
  await panel.button(/Options/).click();
  await panel.node.getByLabel('Base image').fill(BASE);
  await panel.go.click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 120_000 });
  await panel.button('Run this notebook in the image').click();
  await expect(panel.node.getByText('This notebook runs in the image.')).toBeVisible({ timeout: 60_000 });
  await execute(page, 'import sys; print(sys.prefix)', '/opt/env');
  await panel.inOrder();
  await panel.picture('image-after-build');
  await panel.button('Back to Python (demo)').click();
  await expect(panel.node.getByText('This notebook runs in the image.')).toBeHidden();
  await execute(page, 'print("sys" in dir())', 'False');
  const { kernels } = (await (await stage.ask('GET', 'kernels')).json()) as { kernels: { name: string }[] };
  expect(kernels).toHaveLength(1);
  await stage.ask('DELETE', `kernels?name=${kernels[0]?.name}`);
});

test('from a pasted name to the first executed cell: four clicks', async ({ page, panel, stage }) => {
  await page.addInitScript(() => {
    const counted = window as unknown as { clicks: number };
    counted.clicks = 0;
    addEventListener('click', () => counted.clicks++, true);
  });
  await page.goto(`${stage.url}/lab?token=${stage.token}&reset`);
  await page.locator('.jp-LauncherCard', { hasText: 'Open an Image…' }).click();
  const field = panel.node.getByLabel('The name that somebody gave you');
  await expect(field).toBeFocused();
  await page.keyboard.insertText(name);
  await panel.button('Show what is inside').click();
  const whose = panel.node.getByText('This machine has pushed the image');
  await expect(whose).toBeVisible();
  await panel.button('Add as kernel').click();
  await expect(panel.node.getByText('In the launcher as')).toBeVisible({ timeout: 60_000 });
  await page.locator('.jp-LauncherCard[data-category="Notebook"]', { hasText: `${stage.team}/shared` }).click();
  // JupyterLab executes nothing before the notebook has its kernel.
  await expect(page.locator('#jp-main-statusbar').getByText(/shared:v1 \| Idle/)).toBeVisible({ timeout: 60_000 });
  await page.keyboard.insertText('import sys; print(sys.prefix)');
  await page.keyboard.press('Shift+Enter');
  await expect(page.locator('.jp-OutputArea-output')).toHaveText('/opt/env', { timeout: 60_000 });
  expect(await page.evaluate(() => (window as unknown as { clicks: number }).clicks)).toBe(4);
  await panel.width(300);
  await panel.inOrder();
  await panel.picture('image-300', 1400);
});

test('the image is compared with the environment of the notebook, and what is not possible says why', async ({ page, panel }) => {
  await page.route(/condabuild\/status/, async route => {
    const answer = await route.fetch();
    const status = (await answer.json()) as { probes: { subject: string; works: boolean; fault: object | null }[] };
    const engine = status.probes.find(({ subject }) => subject === 'engine');
    Object.assign(engine ?? {}, { works: false, fault: { code: 'engine_unavailable', message: 'No Docker or Podman answers.', hint: '' } });
    await route.fulfill({ response: answer, json: status });
  });
  await panel.notebook('other');
  await panel.entrance.click();
  await panel.button('Open an image…').click();
  await panel.node.getByLabel('The name that somebody gave you').fill(name);
  await page.keyboard.press('Enter');
  const comparison = panel.node.getByRole('region', { name: 'Compared with your environment' });
  await expect(comparison.getByText('From other.ipynb to the image:')).toBeVisible();
  await expect(comparison.getByText('The packages are the same.')).toBeVisible();
  const button = panel.button('Run this notebook in the image');
  await expect(button).toBeDisabled();
  await expect(button).toHaveAccessibleDescription('No container engine is running');
  await panel.inOrder();
  await expect(panel.button('Build on it')).toHaveAccessibleDescription(/the files of both would mix/);
});

test('the view is Chinese and dark where JupyterLab is, and works by the keyboard', async ({ page, panel, stage }) => {
  await stage.set(LANGUAGE, { locale: 'zh_CN' });
  await stage.set(THEMES, { theme: 'JupyterLab Dark' });
  try {
    await panel.notebook();
    await panel.entrance.click();
    await panel.width(300);
    await panel.button('打开镜像…').focus();
    await page.keyboard.press('Enter');
    await expect(panel.node.getByLabel('别人给你的镜像名称')).toBeFocused();
    await page.keyboard.insertText(name);
    await page.keyboard.press('Enter');
    await expect(panel.node.getByText('该镜像由本机推送')).toBeVisible();
    await expect(panel.node.getByText('软件包完全相同。')).toBeVisible();
    await panel.button(/^\d+ 个软件包/).focus();
    await page.keyboard.press('Enter');
    await expect(panel.node.getByRole('region', { name: '镜像的软件包' })).toBeVisible();
    await panel.inOrder();
    await panel.picture('image-chinese-dark', 1400);
  } finally {
    await stage.set(LANGUAGE, {});
    await stage.set(THEMES, {});
  }
});
