/** A person without a notebook, or with a kernel of no conda environment, finds the panel and chooses an environment. */

import { expect, test } from '../panel';

test('without a notebook: the launcher opens the panel, and an environment is chosen there', async ({ page, panel, stage }) => {
  await page.goto(`${stage.url}/lab?token=${stage.token}&reset`);
  await page.locator('.jp-LauncherCard', { hasText: 'Containerize Environment' }).click({ timeout: 60_000 });
  const list = panel.node.getByRole('list', { name: 'Environments of this server' });
  await expect(list.getByRole('button')).toHaveCount(2);
  await panel.width(300);
  await panel.inOrder();
  await panel.picture('choose');
  await list.getByRole('button', { name: /^second/ }).click();
  await expect(panel.node.getByRole('heading', { name: 'second', exact: true })).toBeVisible({ timeout: 60_000 });
  await expect(panel.go).toBeEnabled();
  await panel.button('Choose another environment').click();
  await expect(list.getByRole('button', { name: /^second/ })).toHaveAttribute('aria-current', 'true');
  await panel.inOrder();
  await panel.picture('chosen');
});

test('a kernel of no conda environment: the panel says so, and lists the environments that work', async ({ panel }) => {
  await panel.notebook('elsewhere');
  await panel.entrance.click();
  await expect(panel.node.getByText(/is in a virtual environment without conda/)).toBeVisible();
  const list = panel.node.getByRole('list', { name: 'Environments of this server' });
  await panel.width(300);
  await panel.inOrder();
  await panel.picture('no-conda');
  await list.getByRole('button', { name: /^second/ }).click();
  await expect(panel.go).toBeEnabled({ timeout: 60_000 });
  await panel.button('Choose another environment').click();
  await panel.button('Follow the notebook again').click();
  await expect(panel.node.getByText(/is in a virtual environment without conda/)).toBeVisible();
});

test('the palette finds the words that people type, and a console has the button', async ({ page, panel, stage }) => {
  await page.goto(`${stage.url}/lab?token=${stage.token}&reset`);
  const card = page.locator('.jp-LauncherCard[data-category="Console"]', { hasText: 'Python (second)' });
  await card.waitFor({ timeout: 60_000 });
  await page.keyboard.press('Control+Shift+C');
  const palette = page.locator('#modal-command-palette');
  for (const word of ['docker', 'conda', 'image', 'share', 'environment', 'containerize']) {
    await palette.locator('input').fill(word);
    await expect(palette.getByText(/^Containerize Environment: /)).toBeVisible();
  }
  await page.keyboard.press('Escape');
  await card.click();
  await page.locator('.jp-ConsolePanel [data-jp-item-name="containerize"] :is(button, jp-button)').first().click();
  await expect(panel.node.getByRole('heading', { name: 'second', exact: true })).toBeVisible({ timeout: 60_000 });
  await expect(panel.node.getByText(/^Console \d+ · Python/)).toBeVisible();
});
