import { defineConfig } from '@playwright/test';

const given = process.env['CONDABUILD_UI_CHROMIUM'] ?? '/usr/bin/chromium';

export default defineConfig({
  testDir: '.',
  outputDir: 'results/failures',
  reporter: [['list']],
  // The tests of a folder use one JupyterLab, in which their builds would wait for each other.
  workers: 1,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  retries: process.env['CI'] ? 1 : 0,
  use: {
    viewport: { width: 1400, height: 1000 },
    permissions: ['clipboard-read', 'clipboard-write'],
    screenshot: 'only-on-failure',
    video: 'off',
    launchOptions: {
      executablePath: given,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync'
      ]
    }
  }
});
