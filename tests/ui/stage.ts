/** A real JupyterLab with the panel, a kernel in a real conda environment, and a registry that can be stopped. */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Gate } from './gate';

/** Environment variables with the addresses of services; tests/ui/browser.py sets them. */
function given(name: string): string {
  const value = process.env[`CONDABUILD_UI_${name}`];
  if (!value) {
    throw new Error(`CONDABUILD_UI_${name} is not set: run these tests by pytest tests/ui`);
  }
  return value;
}

/** What the browser shows: JupyterLab, the oldest one that the panel supports, or Jupyter Notebook 7. */
type Front = 'lab' | 'oldest' | 'notebook';

export class Stage {
  token = 'not-a-secret';
  /** The repositories of this run: the registry can have images of an earlier run. */
  readonly team = `lab-${Date.now().toString(36)}`;
  /** The settings of the server. A test that changes one restarts the server, and restores it. */
  readonly settings: Record<'registry' | 'base_image' | 'docker_host', string>;
  private lab: ChildProcess | undefined;

  private constructor(
    readonly folder: string,
    readonly port: number,
    readonly gate: Gate,
    private readonly front: Front
  ) {
    this.settings = { registry: `${gate.address}/${this.team}`, base_image: given('BASE'), docker_host: '' };
  }

  static async build(front: Front = 'lab'): Promise<Stage> {
    const gate = await Gate.before(given('REGISTRY'));
    const stage = new Stage(mkdtempSync(join(tmpdir(), 'condabuild-ui-')), await freePort(), gate, front);
    stage.furnish();
    await stage.start();
    return stage;
  }

  get url(): string {
    return `http://localhost:${this.port}`;
  }

  /** Kill JupyterLab and start it again, with another token if one is given. Builds continue without JupyterLab. */
  async restart(token = this.token): Promise<void> {
    await this.stop('SIGKILL');
    this.token = token;
    await this.start();
  }

  async strike(): Promise<void> {
    this.gate.end();
    await this.stop('SIGTERM');
    // Builds continue without JupyterLab: a build of a failed test can still write.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 500 });
  }

  /** Change a setting of JupyterLab, as its settings editor does. */
  async set(plugin: string, values: object): Promise<void> {
    const response = await fetch(`${this.url}/lab/api/settings/${plugin}`, {
      method: 'PUT',
      headers: { Authorization: `token ${this.token}` },
      body: JSON.stringify({ raw: JSON.stringify(values) })
    });
    if (!response.ok) {
      throw new Error(`${plugin}: ${response.status} ${await response.text()}`);
    }
  }

  /** Send a request to the server, as another client does. */
  async ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<Response> {
    const headers = { Authorization: `token ${this.token}` };
    return fetch(`${this.url}/condabuild/${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  }

  /** The folder of the environment of the notebook `analysis`. */
  get prefix(): string {
    return given('PREFIX');
  }

  /** The minor version of Python in both environments. */
  get python(): string {
    return readdirSync(join(this.prefix, 'lib')).find(name => /^python3\.\d+$/.test(name))?.slice(6) ?? '';
  }

  /** The folder of the environment of the notebook `other`, which a test may change. */
  get second(): string {
    return this.path('envs/second');
  }

  /** The folder of the environment of a Mac, whose packages a channel has for Linux, too. */
  get mac(): string {
    return given('MAC');
  }

  /** A file in the folder that JupyterLab shows. */
  file(name: string): string {
    return this.path('root', name);
  }

  private path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  private furnish(): void {
    for (const name of ['root', 'config', 'data', 'runtime', 'kernels/demo', 'kernels/second', 'envs']) {
      mkdirSync(this.path(name), { recursive: true });
    }
    // Otherwise JupyterLab displays a question about news above the panel.
    const settings = this.path('config/settings/@jupyterlab/apputils-extension');
    mkdirSync(settings, { recursive: true });
    writeFileSync(join(settings, 'notification.jupyterlab-settings'), '{"fetchNews": "false"}');
    execFileSync('cp', ['-a', this.prefix, this.second]);
    for (const [name, prefix] of [
      ['demo', this.prefix],
      ['second', this.second]
    ] as const) {
      const argv = [join(prefix, 'bin/python'), '-m', 'ipykernel_launcher', '-f', '{connection_file}'];
      const spec = { argv, display_name: `Python (${name})`, language: 'python' };
      writeFileSync(this.path('kernels', name, 'kernel.json'), JSON.stringify(spec));
    }
    for (const [name, kernel] of [
      ['analysis', 'demo'],
      ['other', 'second'],
      ['elsewhere', 'python3']
    ] as const) {
      const notebook = {
        cells: [],
        metadata: { kernelspec: { name: kernel, display_name: kernel, language: 'python' } },
        nbformat: 4,
        nbformat_minor: 5
      };
      writeFileSync(this.path('root', `${name}.ipynb`), JSON.stringify(notebook));
    }
  }

  private async start(): Promise<void> {
    const log = createWriteStream(this.path('lab.log'), { flags: 'a' });
    await new Promise(resolve => log.once('open', resolve));
    const other = this.front === 'lab' ? '' : given(this.front.toUpperCase());
    const environment = {
      ...process.env,
      // Logins are kept there.
      DOCKER_CONFIG: this.path('docker'),
      ...(other && { PYTHONPATH: other, JUPYTERLAB_DIR: join(other, 'share/jupyter/lab') }),
      JUPYTER_PATH: [this.folder, ...(other ? [join(other, 'share/jupyter')] : [])].join(':'),
      JUPYTER_CONFIG_DIR: this.path('config'),
      JUPYTER_DATA_DIR: this.path('data'),
      JUPYTER_RUNTIME_DIR: this.path('runtime'),
      JUPYTERLAB_SETTINGS_DIR: this.path('config/settings'),
      JUPYTERLAB_WORKSPACES_DIR: this.path('config/workspaces')
    };
    const options = [
      '--no-browser',
      '--allow-root',
      `--port=${this.port}`,
      '--ServerApp.port_retries=0',
      `--IdentityProvider.token=${this.token}`,
      `--ServerApp.root_dir=${this.path('root')}`,
      ...Object.entries(this.settings).map(([name, value]) => `--CondaBuild.${name}=${value}`),
      ...given('MIRRORS').split(' ').map(mirror => `--CondaBuild.debian_mirrors=${mirror}`),
      `--CondaBuild.store_dir=${this.path('store')}`,
      '--LabApp.news_url=None',
      '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate'
    ];
    this.lab = spawn(given('PYTHON'), ['-m', this.front === 'notebook' ? 'notebook' : 'jupyterlab', ...options], {
      env: environment,
      stdio: ['ignore', log, log]
    });
    for (let tries = 0; tries < 600; tries++) {
      if (this.lab.exitCode !== null) {
        break;
      }
      const answer = await fetch(`${this.url}/api/status?token=${this.token}`).catch(() => null);
      if (answer?.ok) {
        return;
      }
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    throw new Error(`JupyterLab did not start, see ${this.path('lab.log')}`);
  }

  private async stop(signal: NodeJS.Signals): Promise<void> {
    const { lab } = this;
    if (lab && lab.exitCode === null && lab.signalCode === null) {
      const gone = new Promise(resolve => lab.once('exit', resolve));
      lab.kill(signal);
      await gone;
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}
