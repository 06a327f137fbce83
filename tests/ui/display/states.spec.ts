/** Other states of the panel: cancelled, failed, closed, missing, in another language, and dark. */

import type { Build } from '../../../labextension/src/api/contract';
import { expect, test } from '../panel';

const THEMES = '@jupyterlab/apputils-extension:themes';
const LANGUAGE = '@jupyterlab/translation-extension:plugin';
const OURS = 'jupyter-condabuild:plugin';

test('cancelling asks for a confirmation, and says which layers are kept', async ({ page, panel, stage }) => {
  await panel.open();
  await panel.reference.fill(`${stage.gate.address}/lab/cancelled:1`);
  stage.gate.close();
  await panel.go.click();
  await panel.button('Cancel build').click();
  // Enter is the button that cancels nothing.
  await expect(page.locator('.jp-Dialog').getByRole('button', { name: 'Go on building' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(panel.button('Cancel build')).toBeEnabled();
  await panel.button('Cancel build').click();
  await page.locator('.jp-Dialog').getByRole('button', { name: 'Cancel build' }).click();
  await expect(panel.node.getByText('You cancelled this build.')).toBeVisible();
  await panel.inOrder();
  await panel.button(/Environment and history/).click();
  await expect(panel.recent.getByText(/ago · Cancelled/).first()).toBeVisible();
});

test('a question about a build closes when the build has ended, and the palette gives the panel the focus', async ({ page, panel, stage }) => {
  await panel.open();
  await panel.reference.fill(`${stage.gate.address}/${stage.team}/void:1`);
  stage.gate.close();
  await panel.go.click();
  await panel.button('Cancel build').click();
  await expect(page.locator('.jp-Dialog')).toBeVisible();
  stage.gate.release();
  await expect(page.locator('.jp-Dialog')).toBeHidden({ timeout: 60_000 });
  await expect(panel.node.getByRole('heading', { name: 'Ready to share' })).toBeFocused();
  await page.locator('.jp-Notebook .jp-Cell').first().click();
  await page.keyboard.press('Control+Shift+C');
  await page.keyboard.type('docker image');
  await page.keyboard.press('Enter');
  await expect(panel.node).toBeFocused();
});

test('a failed build displays its error and its hint', async ({ page, panel }) => {
  await panel.open();
  await panel.width(360);
  await panel.reference.fill('localhost:1/lab/nowhere:1');
  await panel.go.click();
  const alert = panel.node.getByRole('alert');
  await expect(alert).toContainText('localhost:1');
  await expect(alert).toContainText(/network|proxy|registry/);
  await panel.inOrder();
  await panel.picture('failure');
  await panel.button('Copy report').click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/error: registry_\w+: /);
  await panel.node.getByRole('button', { name: 'Retry', exact: true }).click();
  await expect(panel.node.getByRole('alert')).toBeVisible();
  await panel.button('Edit and retry').click();
  await expect(panel.reference).toHaveValue('localhost:1/lab/nowhere:1');
  await panel.reference.fill(`${panel.stage.gate.address}/${panel.stage.team}/somewhere:1`);
  await panel.reference.press('Enter');
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
});

test('a notebook goes into the image alone', async ({ panel, stage }) => {
  await panel.open();
  await panel.node.getByRole('checkbox', { name: 'Include this notebook (analysis.ipynb)' }).check();
  await panel.reference.fill(`${stage.gate.address}/${stage.team}/notebook:1`);
  await panel.go.click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
  await panel.button('Log').click();
  await expect(panel.node.getByRole('log')).toContainText('files of analysis.ipynb');
});

test('a build with an invalid name is refused', async ({ panel }) => {
  await panel.open();
  await panel.reference.fill('No Name');
  await expect(panel.node.getByText('A name reads registry/repository:tag, in lower case.')).toBeVisible();
  await expect(panel.go).toBeDisabled();
});

test('the caret stays in the middle of a name while a person types', async ({ panel }) => {
  await panel.open();
  await panel.reference.fill('localhost:5000/sci:1');
  await panel.reference.press('Home');
  await panel.reference.pressSequentially('my-', { delay: 50 });
  await expect(panel.reference).toHaveValue('my-localhost:5000/sci:1');
});

test('while the panel is closed, the status bar and a notification report a build', async ({ page, panel, stage }) => {
  await panel.open();
  await panel.reference.fill(`${stage.gate.address}/lab/closed:1`);
  stage.gate.close();
  await panel.go.click();
  await expect(panel.button('Cancel build')).toBeVisible();
  await page.locator('.jp-SideBar.jp-mod-right').locator('[data-id="jupyter-condabuild-panel"]').click();
  await expect(panel.node).toBeHidden();
  await expect(page.locator('#jp-main-statusbar').getByText(/Building closed:1/)).toBeVisible();
  stage.gate.release();
  const toast = page.locator('.Toastify__toast', { hasText: 'closed:1 is ready to share' });
  await expect(toast).toBeVisible({ timeout: 60_000 });
  await toast.getByRole('button', { name: 'Show' }).click();
  await expect(panel.node.getByText('Ready to share')).toBeVisible();
});

test('an open panel that displays another view says in its own place how a build ended', async ({ page, panel, stage }) => {
  await panel.open();
  await panel.reference.fill(`${stage.gate.address}/${stage.team}/reloaded:1`);
  stage.gate.close();
  await panel.go.click();
  await expect(panel.button('Cancel build')).toBeVisible();
  await page.reload();
  await expect(panel.node.getByRole('button', { name: /^Building reloaded:1/ })).toBeVisible({ timeout: 60_000 });
  stage.gate.release();
  const news = panel.node.getByRole('status', { name: 'News' });
  await expect(news.getByText('reloaded:1 is ready to share')).toBeVisible({ timeout: 60_000 });
  await expect(page.locator('.Toastify__toast')).toHaveCount(0);
  await panel.inOrder();
  await panel.picture('news');
  await panel.button('Show: reloaded:1 is ready to share').click();
  await expect(panel.node.getByRole('heading', { name: 'Ready to share' })).toBeFocused();
  await expect(news).toHaveText('');
});

test('with the setting, the desktop tells how a build ended while another program was in front', async ({ page, panel, stage }) => {
  await stage.set(OURS, { desktop: true });
  try {
    // A browser without a screen has no desktop.
    await page.addInitScript(() => {
      const told: string[] = [];
      class Told {
        static readonly permission = 'granted';
        onclick = (): void => undefined;
        constructor(title: string, { body }: { body: string }) {
          told.push(`${title}: ${body}`);
        }
      }
      Object.assign(window, { Notification: Told, told });
    });
    await panel.open();
    await panel.reference.fill(`${stage.gate.address}/${stage.team}/desktop:1`);
    await panel.go.click();
    await expect(panel.button('Cancel build')).toBeVisible();
    await page.evaluate(() => (document.hasFocus = () => false));
    await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
    expect(await page.evaluate(() => (window as unknown as { told: string[] }).told)).toEqual([
      'Containerize environment: desktop:1 is ready to share'
    ]);
  } finally {
    await stage.set(OURS, {});
  }
});

test('the panel says in its own place that a build was refused if another notebook is in front', async ({ page, panel }) => {
  await panel.open();
  let refuse = (): void => undefined;
  const asked = new Promise<void>(resolve => {
    void page.route(/condabuild\/builds(\?|$)/, async route => {
      if (route.request().method() !== 'POST') {
        return route.continue();
      }
      await new Promise<void>(answer => {
        refuse = answer;
        resolve();
      });
      return route.fulfill({ status: 429, json: { code: 'queue_full', message: 'There are 20 builds.', hint: 'Try again later.' } });
    });
  });
  await panel.reference.fill(`${panel.stage.gate.address}/${panel.stage.team}/refused:1`);
  await panel.go.click();
  await asked;
  await page.getByRole('listitem', { name: /elsewhere\.ipynb/ }).dblclick();
  await expect(panel.node.getByText(/does not run in a conda environment|conda environment/).first()).toBeVisible();
  refuse();
  const news = panel.node.getByRole('status', { name: 'News' });
  await expect(news.getByText('refused:1 failed: There are 20 builds.')).toBeVisible();
  await expect(panel.node.getByRole('alert')).toHaveCount(0);
  await panel.button(/^Close: refused:1/).click();
  await expect(news).toHaveText('');
});

test('a build is followed again when the login has been renewed', async ({ context, panel, stage }) => {
  test.setTimeout(180_000);
  await panel.open();
  await panel.width(300);
  await panel.reference.fill(`${stage.gate.address}/${stage.team}/renewed:1`);
  stage.gate.close();
  await panel.go.click();
  await expect(panel.button('Cancel build')).toBeVisible();
  // The cookie has expired, and the restarted server has another token.
  await context.clearCookies();
  await stage.restart('not-a-secret-either');
  await expect(panel.node.getByText('The Jupyter server asks for a login.')).toBeVisible();
  await panel.inOrder();
  await panel.picture('denied-300');
  const second = await context.newPage();
  await second.goto(`${stage.url}/lab?token=${stage.token}&reset`);
  // The panel may have started its longest wait.
  await expect(panel.node.getByText('The Jupyter server asks for a login.')).toBeHidden({ timeout: 60_000 });
  stage.gate.release();
  await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
  await second.close();
});

test('a build that was deleted during a lost connection is removed from the panel', async ({ context, panel, stage }) => {
  test.setTimeout(180_000);
  await panel.open();
  await panel.reference.fill(`${stage.gate.address}/${stage.team}/deleted:1`);
  stage.gate.close();
  await panel.go.click();
  await expect(panel.button('Cancel build')).toBeVisible();
  // An offline browser keeps its open connections. The restart ends these connections.
  await context.setOffline(true);
  await stage.restart();
  stage.gate.release();
  await expect(panel.node.getByText('Connection lost, trying again…')).toBeVisible();
  await expect
    .poll(async () => {
      const { builds } = (await (await stage.ask('GET', 'builds')).json()) as { builds: Build[] };
      const [build] = builds.filter(({ request }) => request.reference.endsWith('/deleted:1'));
      return build?.state === 'finished' && (await stage.ask('DELETE', `builds/${build.id}?forget=true`)).status;
    })
    .toBe(204);
  await context.setOffline(false);
  await expect(panel.node.getByText('deleted:1 is no longer in the history.')).toBeVisible({ timeout: 60_000 });
  await expect(panel.recent.getByText('deleted:1')).toBeHidden();
  await panel.inOrder();
});

test('a kernel outside of conda has an explanation, and the panel follows the notebook in front', async ({ panel }) => {
  await panel.notebook('elsewhere');
  await panel.entrance.click();
  await expect(panel.node.getByText(/conda environment/).first()).toBeVisible();
  await panel.inOrder();
  await panel.picture('no-conda');
});

test('without the server extension, the panel says what to install', async ({ page, panel }) => {
  await page.route('**/condabuild/**', route => route.fulfill({ status: 404, body: '<html>404</html>' }));
  await panel.notebook();
  await panel.entrance.click();
  await expect(panel.node.getByRole('alert')).toContainText('The server part is missing or disabled.');
  await panel.inOrder();
});

test('the settings change the action of the button', async ({ panel, stage }) => {
  await stage.set(OURS, { destination: 'archive', strict: true });
  try {
    await panel.open();
    await expect(panel.go).toHaveText('Build and save as archive');
    await panel.button(/Options/).click();
    await expect(panel.node.getByRole('checkbox', { name: 'Refuse what cannot be reproduced' })).toBeChecked();
  } finally {
    await stage.set(OURS, {});
  }
});

test('the docker engine has its own options, and its plan is its Dockerfile', async ({ panel }) => {
  await panel.open();
  await panel.width(300);
  await panel.button(/Options/).click();
  await expect(panel.node.getByRole('combobox', { name: 'Installer' })).toBeHidden();
  await panel.node.getByRole('combobox', { name: 'Engine' }).selectOption('docker');
  await panel.node.getByRole('combobox', { name: 'Installer' }).selectOption('micromamba');
  await panel.node.getByRole('checkbox', { name: 'Look for a newer image of the installer' }).check();
  await expect(panel.node.getByText(/^FROM /).first()).toBeVisible();
  await panel.inOrder();
  await panel.picture('docker-300');
});

test('the panel is in Chinese if JupyterLab is in Chinese', async ({ page, panel, stage }) => {
  await stage.set(LANGUAGE, { locale: 'zh_CN' });
  try {
    await panel.notebook();
    await panel.entrance.click();
    await panel.width(360);
    await expect(panel.button('构建并推送')).toBeVisible();
    await expect(panel.node.getByText('将要执行')).toBeVisible();
    await expect(panel.node.getByText(/^\d+ 个软件包$/)).toBeVisible();
    await expect(panel.node.getByText('正在与镜像仓库比较…')).toBeHidden();
    // Messages of the server are translated by their code. Names are data.
    const warning = panel.node.getByRole('listitem').filter({ hasText: '来自本机频道的软件包' });
    await warning.getByRole('button', { name: '来自本机频道的软件包' }).click();
    await expect(warning).toContainText(/ipykernel|asttokens/);
    await expect(warning).toContainText('请把这些软件包上传到他们能访问的频道。');
    await panel.inOrder();
    await panel.picture('chinese');
    await page.keyboard.press('Control+Comma');
    await expect(page.locator('.jp-SettingsPanel').getByText('镜像的去向')).toBeVisible();
  } finally {
    await stage.set(LANGUAGE, {});
  }
});

test('the panel is dark if JupyterLab is dark', async ({ panel, stage }) => {
  await stage.set(THEMES, { theme: 'JupyterLab Dark' });
  try {
    await panel.open();
    await panel.width(360);
    await panel.inOrder();
    await panel.picture('before-dark');
    await panel.reference.fill(`${stage.gate.address}/lab/dark:1`);
    stage.gate.close();
    await panel.go.click();
    await expect(panel.node.getByRole('img', { name: /^Layers: / })).toBeVisible();
    await panel.inOrder();
    await panel.picture('during-dark');
    stage.gate.release();
    await expect(panel.node.getByText('Ready to share')).toBeVisible({ timeout: 60_000 });
    await panel.inOrder();
    await panel.picture('after-dark');
  } finally {
    await stage.set(THEMES, {});
  }
});
