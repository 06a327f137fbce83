/** A labmate opens an image by its name: what is inside, its kernel in a notebook, and the way back. The engine and the kernels are real. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

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
  await panel.shareChecked(name, BASE);
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

test('a library that the image lacks is found by the check, and one click adds its package of Debian', async ({ page, panel, stage }) => {
  test.setTimeout(300_000);
  // The notebook has the environment of `other`, in which a module needs a library of the system.
  const module = join(stage.second, `lib/python${stage.python}/site-packages/needsmagic.py`);
  writeFileSync(module, "import ctypes; ctypes.CDLL('libmagic.so.1')\n");
  const notebook = JSON.parse(readFileSync(stage.file('other.ipynb'), 'utf8')) as object;
  const cells = [{ cell_type: 'code', id: 'a', source: 'import json, needsmagic', metadata: {}, outputs: [], execution_count: null }];
  writeFileSync(stage.file('magic.ipynb'), JSON.stringify({ ...notebook, cells }));
  try {
    await panel.open('magic');
    await panel.width(300);
    await panel.reference.fill(`${stage.gate.address}/${stage.team}/magic:v1`);
    await panel.button(/Options/).click();
    await panel.node.getByLabel('Base image').fill(BASE);
    await expect(panel.node.getByLabel(/^Check the new image/)).toBeChecked();
    const packages = panel.node.getByLabel('Packages of Debian');
    await packages.fill('libGL.so.1');
    await packages.press('Enter');
    await expect(panel.node.getByText(/No package of Debian has this name: libGL\.so\.1/)).toBeVisible();
    await expect(panel.go).toBeDisabled();
    await panel.inOrder();
    await panel.picture('debian-packages-300', 1600);
    await panel.button('Undo: libGL.so.1').click();
    await panel.button('Load into Docker').click();
    await panel.go.click();
    const add = panel.button('Add libmagic1 and build again');
    await expect(add).toBeVisible({ timeout: 120_000 });
    await expect(panel.node.getByText('needsmagic: libmagic.so.1 is missing, which Debian has in libmagic1')).toBeVisible();
    await panel.button('Log').click();
    await expect(panel.node.getByRole('log').getByText(/needsmagic: OSError: libmagic/)).toBeVisible();
    await panel.inOrder();
    await panel.picture('check-failed-300', 1400);
    await add.click();
    await expect(panel.node.getByText('✓ Checked: 2 modules can be imported · magic.ipynb')).toBeVisible({ timeout: 120_000 });
    await panel.picture('check-done-300', 1400);
    await page.reload();
    await panel.recent.getByRole('button', { name: /MB/ }).first().click();
    await expect(panel.node.getByText('✓ Checked: 2 modules can be imported · magic.ipynb')).toBeVisible();
    await panel.button(/Environment and history/).click();
    await expect(panel.node.getByText('Package of Debian: libmagic1')).toBeVisible();
    await panel.button('Undo: libmagic1').click();
  } finally {
    rmSync(module);
  }
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
  await page.route(/condabuild\/inspections/, async route => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...(await answer.json()), ways: [] } });
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
  await expect(button).toHaveAccessibleDescription('Nothing on the server’s machine can run an image.');
  await expect(panel.node.getByText('Start Docker or Podman, or install bubblewrap. Or make a conda environment')).toBeVisible();
  await panel.inOrder();
  await expect(panel.button('Build on it')).toHaveAccessibleDescription(/the files of both would mix/);
  await page.unroute(/condabuild\/inspections/);
});

test('without an engine, the notebook runs in a sandbox, which the person chooses', async ({ page, panel, stage }) => {
  await panel.notebook('other');
  await panel.entrance.click();
  await panel.width(300);
  await panel.button('Open an image…').click();
  await panel.node.getByLabel('The name that somebody gave you').fill(name);
  await page.keyboard.press('Enter');
  const way = panel.node.getByLabel('How it runs');
  await expect(way).toHaveValue('engine');
  await way.focus();
  await page.keyboard.press('ArrowDown');
  await expect(way).toHaveValue('bubblewrap');
  await expect(panel.node.getByText('It has the network of the server’s machine')).toBeVisible();
  await panel.inOrder();
  await panel.button('Run this notebook in the image').click();
  await expect(panel.node.getByText('This notebook runs in the image.')).toBeVisible({ timeout: 60_000 });
  await execute(page, 'import os, sys; print(sys.prefix, os.access("/opt/env", os.W_OK))', '/opt/env False');
  await panel.picture('image-sandbox-300', 1400);
  await panel.button('Back to Python (second)').click();
  await expect(panel.node.getByText('This notebook runs in the image.')).toBeHidden();
  const { kernels } = (await (await stage.ask('GET', 'kernels')).json()) as { kernels: { name: string; way: string }[] };
  expect(kernels.map(({ way }) => way)).toEqual(['bubblewrap']);
  await stage.ask('DELETE', `kernels?name=${kernels[0]?.name}`);
});

test('a conda environment of the image is made without a container, can be cancelled, and says how it is used', async ({ page, panel, stage }) => {
  await panel.notebook('other');
  await panel.entrance.click();
  await panel.width(300);
  await panel.button('Open an image…').click();
  await page.keyboard.insertText(name);
  await page.keyboard.press('Enter');
  await panel.button(/^Recreate as conda environment/).focus();
  await page.keyboard.press('Enter');
  await expect(panel.node.getByLabel('Folder, relative to the one')).toHaveValue('envs/shared-v1');
  await panel.inOrder();
  await panel.picture('image-recreate-300', 1400);
  const make = panel.button('Make the environment');
  await make.click();
  await expect(panel.node.getByRole('progressbar', { name: 'Recreate as conda environment' })).toBeVisible();
  await panel.button('Cancel the environment').click();
  await expect(make).toBeVisible({ timeout: 60_000 });
  expect(existsSync(stage.file('envs'))).toBe(false);
  await make.click();
  await expect(panel.node.getByText('The environment is ready.')).toBeVisible({ timeout: 120_000 });
  await expect(panel.node.getByText(/^conda activate .*root\/envs\/shared-v1$/)).toBeVisible();
  await expect(panel.node.getByText(/envs\/shared-v1\/bin\/python -m ipykernel install --user/)).toBeVisible();
  const python = stage.file('envs/shared-v1/bin/python');
  expect(execFileSync(python, ['-c', 'import ipykernel, sys; print(sys.prefix)'], { encoding: 'utf8' })).toContain('envs/shared-v1');
  await panel.inOrder();
  await panel.picture('image-recreated-300', 1400);
});

test('the check and the packages of Debian are Chinese, and the check that is switched off stays off', async ({ page, panel, stage }) => {
  await stage.set(LANGUAGE, { locale: 'zh_CN' });
  try {
    await panel.notebook('magic');
    await panel.entrance.click();
    await panel.width(300);
    await panel.node.getByRole('region', { name: '最近的构建' }).getByRole('button', { name: /MB/ }).first().click();
    await expect(panel.node.getByText('✓ 已检查：2 个模块可以导入 · magic.ipynb')).toBeVisible();
    await panel.inOrder();
    await panel.picture('check-chinese-300', 1400);
    await panel.button(/环境与历史/).click();
    await panel.button(/^选项/).click();
    await panel.node.getByLabel('检查新镜像').uncheck();
    await panel.inOrder();
    await panel.picture('options-chinese-300', 2000);
    await page.reload();
    await panel.button(/^选项/).click();
    await expect(panel.node.getByLabel('检查新镜像')).not.toBeChecked();
  } finally {
    await stage.set(LANGUAGE, {});
    await stage.set('jupyter-condabuild:plugin', {});
  }
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
