/** The panel as a person uses it, and the checks for every picture of the panel. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test as base, type Locator, type Page } from '@playwright/test';

import { Stage } from './stage';

const AXE = require.resolve('axe-core/axe.min.js');
const PICTURES = join(__dirname, 'results/pictures');

export const test = base.extend<{ panel: Panel }, { stage: Stage }>({
  stage: [
    async ({}, use) => {
      const stage = await Stage.build();
      await use(stage);
      await stage.strike();
    },
    { scope: 'worker', timeout: 90_000 }
  ],
  panel: async ({ page, stage }, use) => {
    const wrong: string[] = [];
    page.on('pageerror', error => wrong.push(String(error)));
    page.on('dialog', dialog => {
      if (dialog.type() === 'beforeunload') {
        // JupyterLab's own dialog for a notebook that is not saved.
        void dialog.accept();
        return;
      }
      wrong.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await use(new Panel(page, stage));
    stage.gate.release();
    expect(wrong).toEqual([]);
  }
});

/** The type of the place is that of the stage, or of what is known of the server of a hub's user. */
export class Panel<Place extends Pick<Stage, 'url' | 'token'> = Stage> {
  constructor(
    readonly page: Page,
    readonly stage: Place
  ) {}

  get node(): Locator {
    return this.page.locator('.jp-CondaBuild');
  }

  /** Open a notebook and start its kernel, in a new workspace unless the same workspace is requested. */
  async notebook(name = 'analysis', reset = true): Promise<void> {
    await this.page.goto(
      `${this.stage.url}/lab/tree/${name}.ipynb?token=${this.stage.token}${reset ? '&reset' : ''}`
    );
    await this.entrance.waitFor({ timeout: 60_000 });
    // In a narrow window, the toolbar keeps the indicator in its hidden menu.
    await this.page
      .locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
      .waitFor({ state: 'attached', timeout: 60_000 });
  }

  get entrance(): Locator {
    return this.page.locator('.jp-NotebookPanel-toolbar [data-jp-item-name="containerize"] :is(button, jp-button)').first();
  }

  /** Open the panel next to a notebook, and wait until the environment is displayed. */
  async open(name?: string): Promise<void> {
    await this.notebook(name);
    await this.entrance.click();
    await this.go.waitFor();
    await expect(this.node.getByText('Comparing with the registry…')).toBeHidden();
  }

  get go(): Locator {
    return this.button(/^Build and/);
  }

  /** Build and push under a name, on a base image, and wait for the check of the image. */
  async shareChecked(name: string, base: string): Promise<void> {
    await this.reference.fill(name);
    await this.button(/Options/).click();
    await this.node.getByLabel('Base image').fill(base);
    await this.go.click();
    await expect(this.node.getByText('Ready to share')).toBeVisible({ timeout: 120_000 });
    await expect(this.node.getByText(/^✓ Checked: \d+ modules can be imported$/)).toBeVisible({ timeout: 60_000 });
  }

  get reference(): Locator {
    return this.node.getByRole('textbox', { name: 'Name of the image' });
  }

  get recent(): Locator {
    return this.node.getByRole('region', { name: 'Recent' });
  }

  button(name: string | RegExp): Locator {
    return this.node.getByRole('button', { name });
  }

  /** Set the width of the sidebar in pixels. */
  async width(pixels: number): Promise<void> {
    const handle = this.page.locator('#jp-main-split-panel > .lm-SplitPanel-handle:not(.lm-mod-hidden)').last();
    for (let tries = 0; tries < 3; tries++) {
      const [at, now] = [await handle.boundingBox(), await this.node.boundingBox()];
      if (!at || !now || Math.abs(now.width - pixels) < 2) {
        return;
      }
      await this.page.mouse.move(at.x + 2, 500);
      await this.page.mouse.down();
      await this.page.mouse.move(at.x + 2 + now.width - pixels, 500, { steps: 3 });
      await this.page.mouse.up();
    }
  }

  pictureFile(name: string): string {
    mkdirSync(PICTURES, { recursive: true });
    return join(PICTURES, `${name}.png`);
  }

  /** @param height - The height of the window, if all that the panel has below each other is to be in the picture. */
  async picture(name: string, height?: number): Promise<void> {
    const usual = this.page.viewportSize();
    if (height && usual) {
      await this.page.setViewportSize({ ...usual, height });
      await this.page.locator('.jp-CondaBuild-body').evaluate(body => body.scrollTo({ top: 0 }));
    }
    await this.node.screenshot({ path: this.pictureFile(name), animations: 'disabled' });
    if (height && usual) {
      await this.page.setViewportSize(usual);
    }
  }

  /** Check that no content is cut off at the sides, and that axe finds no violation. */
  async inOrder(): Promise<void> {
    const wider = await this.node
      .locator('.jp-CondaBuild-body')
      .evaluate(body => body.scrollWidth - body.clientWidth);
    expect(wider).toBeLessThanOrEqual(0);
    await this.page.addScriptTag({ path: AXE });
    const found = await this.page.evaluate(async () => {
      const { axe } = window as unknown as { axe: typeof import('axe-core') };
      const { violations } = await axe.run('.jp-CondaBuild');
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' ')}`);
    });
    expect(found).toEqual([]);
  }
}

export { expect };
