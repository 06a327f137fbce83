/** The image under a name is the environment in sight, and the panel always says which environment that is. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from '../panel';
import type { Stage } from '../stage';

test.describe.configure({ mode: 'serial' });

const TODAY = /:\d{4}-\d\d-\d\d$/;

/** Install a distribution as pip does, without files of its own. */
function pipInstall(stage: Stage, name: string): void {
  const info = join(stage.second, `lib/python${stage.python}/site-packages/${name}-1.0.dist-info`);
  mkdirSync(info);
  writeFileSync(join(info, 'METADATA'), `Metadata-Version: 2.1\nName: ${name}\nVersion: 1.0\n`);
  writeFileSync(join(info, 'INSTALLER'), 'pip\n');
  writeFileSync(join(info, 'RECORD'), ['METADATA', 'INSTALLER', 'RECORD'].map(file => `${name}-1.0.dist-info/${file},,\n`).join(''));
}

test.afterAll(({ stage }) => {
  for (const name of ['share/foreign.txt', `lib/python${stage.python}/site-packages/words-1.0.dist-info`]) {
    rmSync(join(stage.second, name), { recursive: true, force: true });
  }
});

test('a package that was installed is in sight without a click, under another name than the image of before', async ({
  panel,
  stage
}) => {
  await panel.open('other');
  await panel.width(360);
  await expect(panel.reference).toHaveValue(TODAY);
  const before = await panel.reference.inputValue();
  await panel.go.click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
  await expect(panel.node.getByRole('heading', { name: 'second', exact: true })).toBeVisible();
  await panel.picture('after-named');
  await panel.button(/Environment and history/).click();
  await expect(panel.reference).toHaveValue(before);
  await expect(panel.go).toHaveText('Build and push');

  const contents = panel.node.getByRole('region', { name: 'What goes in' });
  await expect(contents.getByText('pip', { exact: true })).toBeHidden();
  pipInstall(stage, 'words');
  await expect(contents.getByText('pip', { exact: true })).toBeVisible();
  await expect(panel.reference).toHaveValue(`${before}.2`);

  await panel.reference.fill(before);
  await expect(panel.node.getByText(/exists: you pushed it .*1 package differs/)).toBeVisible();
  await expect(panel.go).toHaveText('Build and replace');
  await panel.inOrder();
  await panel.picture('existing');
});

test('a file that changes after a person has looked is not built under the name in sight', async ({ panel, stage }) => {
  await panel.open('other');
  await panel.width(360);
  const digest = panel.node.getByText(/^Contents: /);
  const before = await digest.textContent();
  writeFileSync(join(stage.second, 'share/foreign.txt'), 'foreign');
  await panel.go.click();
  await expect(panel.node.getByText('The environment has changed, and nothing is built yet.')).toBeVisible();
  await expect(digest).not.toHaveText(before ?? '');
  await panel.inOrder();
  await panel.picture('outdated');
  await panel.reference.press('Enter');
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
});

test('a build that waits refuses the environment if it has changed meanwhile', async ({ panel, stage }) => {
  await panel.open('other');
  await panel.width(360);
  stage.gate.close();
  for (const name of ['running', 'running-too']) {
    const reference = `${stage.gate.address}/${stage.team}/${name}:1`;
    const answer = await stage.ask('POST', 'builds', { prefix: stage.prefix, reference, push: true });
    expect(await answer.json()).toMatchObject({ state: 'running' });
  }
  await panel.reference.fill(`${stage.gate.address}/${stage.team}/waits:1`);
  await panel.go.click();
  await expect(panel.node.getByText('Waiting: number 1 in the queue')).toBeVisible();
  await panel.button(/Environment and history/).click();
  const active = panel.node.getByRole('list', { name: 'Builds' }).getByRole('listitem');
  await expect(active).toHaveText([/^Building /, /^Building /, /^Waiting: waits:1 ›.*number 1$/]);
  await panel.inOrder();
  await panel.picture('several');
  await active.last().getByRole('button').click();
  writeFileSync(join(stage.second, 'share/foreign.txt'), 'changed');
  stage.gate.release();
  await expect(panel.node.getByRole('alert')).toContainText('has changed since the build was requested', { timeout: 60_000 });
  await panel.inOrder();
});

test('the button of a notebook displays the environment of this notebook', async ({ page, panel, stage }) => {
  await panel.open('other');
  await panel.width(360);
  await panel.recent.getByRole('button', { name: /^second:/ }).first().click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible();
  await page.getByRole('listitem', { name: /analysis\.ipynb/ }).dblclick();
  const name = stage.prefix.split('/').pop() ?? '';
  await expect(panel.node.getByText('Not the environment of analysis.ipynb')).toBeVisible({ timeout: 60_000 });
  await expect(panel.node.getByRole('heading', { name: 'second', exact: true })).toBeVisible();
  await panel.inOrder();
  await panel.picture('another-environment');
  await page
    .locator('.jp-NotebookPanel:not(.lm-mod-hidden) [data-jp-item-name="containerize"] :is(button, jp-button)')
    .first()
    .click();
  await expect(panel.node.getByText('Ready to share')).toBeHidden();
  await expect(panel.node.getByRole('heading', { name, exact: true })).toBeVisible();
  await expect(panel.node.getByText(/^analysis\.ipynb · Python/)).toBeVisible();
});

test('the licences are counted before a build, with a list', async ({ page, panel }) => {
  await page.route(/condabuild\/licenses(\?|$)/, async route => {
    const response = await route.fetch();
    const found = (await response.json()) as { packages: object[]; commercial: object[] };
    const other = { manager: 'conda', version: '1', channel: 'https://repo.anaconda.com/pkgs/main', is_spdx: false };
    found.packages.push({ ...other, name: 'nvtools', license: 'LicenseRef-NVIDIA-EULA' }, { ...other, name: 'bare', license: '' });
    found.commercial.push({
      channel: other.channel,
      terms: 'Anaconda',
      url: 'https://www.anaconda.com/legal/terms/terms-of-service',
      summary: '',
      packages: ['nvtools', 'bare']
    });
    await route.fulfill({ json: found });
  });
  await panel.open();
  await panel.width(360);
  const licences = panel.node.getByRole('region', { name: 'Licences', exact: true });
  await expect(licences.getByText(/\d+ permissive · .*1 restricted/)).toBeVisible();
  await expect(licences.getByText('1 package may not be for every use: nvtools')).toBeVisible();
  await expect(licences.getByText(/states? no licence: .*bare/)).toBeVisible();
  await expect(licences.getByText(/2 packages are under the terms of Anaconda/)).toBeVisible();
  await panel.picture('licences');
  await licences.getByRole('button', { name: 'Show the list' }).click();
  await expect(licences.getByRole('listitem').filter({ hasText: 'nvtools' })).toContainText('LicenseRef-NVIDIA-EULA');
  await panel.inOrder();
  await panel.picture('licences-list');
});
