/** The REST API of the server extension. Only this file sends requests. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  Build,
  BuildRequest,
  Builds,
  Check,
  CheckRequest,
  Difference,
  Environments,
  Export,
  ExportRequest,
  ImageKernel,
  ImageKernels,
  ImageRun,
  Inspection,
  Licenses,
  LockfileWriting,
  LockFormat,
  Login,
  LoginRequest,
  Logins,
  NewEvents,
  Permission,
  Recreation,
  RecreationRequest,
  SeenImage,
  Side,
  Snapshot,
  SnapshotRequest,
  Source,
  Stamp,
  Status,
  Written
} from './contract';
import { errorOf } from './error';
import { LAST_SLOT, Turns } from './turns';
import { Updates, type Follower } from './updates';

/** The requests of the model. */
export interface Server {
  status(): Promise<Status>;
  /** The status without its probes. */
  settings(): Promise<Status>;
  /** The environments of the kernels and kernelspecs. */
  environments(): Promise<Environments>;
  /** The promise of an aborted request is rejected. */
  snapshot(request: SnapshotRequest, signal?: AbortSignal): Promise<Snapshot>;
  /** The contents of an environment now, as they are compared before a build. */
  contents(request: SnapshotRequest): Promise<Snapshot>;
  stamp(source: Source): Promise<Stamp>;
  licenses(of: { prefix: string } | { reference: string }): Promise<Licenses>;
  /** What is in an image, and who built it. The promise of an aborted request is rejected. */
  inspect(reference: string, signal?: AbortSignal): Promise<Inspection>;
  /** The kernels of images that are installed. */
  imageKernels(): Promise<ImageKernel[]>;
  /** Install the kernels of an image that the person has seen. The engine may have to pull the image. */
  installKernels(image: SeenImage): Promise<ImageKernel[]>;
  removeKernel(name: string): Promise<void>;
  /** JupyterLab in containers of images. */
  runs(): Promise<ImageRun[]>;
  /** Start JupyterLab in a container of an image that the person has seen, with a folder. */
  startRun(image: SeenImage & { folder: string }): Promise<ImageRun>;
  endRun(id: string): Promise<void>;
  /** The conda environments that are made of images. */
  recreations(): Promise<Recreation[]>;
  /** Make a conda environment of an image that the person has seen, in a folder. */
  recreate(request: RecreationRequest): Promise<Recreation>;
  /** Cancel one. */
  endRecreation(id: string): Promise<Recreation>;
  /** The checks of images that run, and the last results. */
  checks(): Promise<Check[]>;
  /** Import modules in the image of a build. */
  check(request: CheckRequest): Promise<Check>;
  /** Cancel the check of the image of a build, or remove its result. */
  endCheck(build: string): Promise<Check>;
  /** Files of one kind. With a folder, they are written there. */
  exports(request: ExportRequest): Promise<Export>;
  /** The text of a lock file. */
  lockfile(digest: string, format: LockFormat): Promise<string>;
  writeLockfile(digest: string, writing: LockfileWriting): Promise<Written>;
  /** Test a login at a registry, and keep it for the user. */
  login(request: LoginRequest): Promise<Login>;
  /** The registries that the user's configurations name, with the user of each login. */
  logins(): Promise<Logins['logins']>;
  /** Whether the user may push an image of a name. */
  permission(reference: string): Promise<Permission>;
  /** The newest builds of the history, a thousand at most, and the number of all. */
  builds(): Promise<Builds>;
  /** The builds that wait or run. */
  active(): Promise<Build[]>;
  start(request: BuildRequest): Promise<Build>;
  cancel(id: string): Promise<Build>;
  /** Delete an ended build from the history. */
  forget(id: string): Promise<void>;
  difference(before: Side, after: Side): Promise<Difference>;
  /** The URL of the explanation of a warning, for a browser that has logged in. */
  whyUrl(why: string): string;
  /** The URL of the archive that a build wrote, for a browser that has logged in. */
  archiveUrl(id: string): string;
  /** Follow the events of a build; returns a function that stops it. */
  follow(id: string, follower: Follower): () => void;
}

/** The longest time for the stamp of an environment, in milliseconds: its disk may not answer. */
const LONGEST_STAMP = 10_000;

export class RestServer implements Server {
  /** The events of all builds that are followed. */
  readonly updates: Updates;
  private readonly turns = new Turns();
  /** The questions to registries that nobody waits for. */
  private readonly questions = new Turns(undefined, LAST_SLOT);
  /** The short requests that the panel sends without a person: one at a time. */
  private readonly background = new Turns(null);

  constructor(private readonly connection: ServerConnection.ISettings) {
    this.updates = new Updates(
      (after, signal) => this.background.take(() => this.newest(after, signal), signal),
      () => document.hidden
    );
  }

  status(): Promise<Status> {
    return this.turns.take(() => this.requestJson('status'));
  }

  settings(): Promise<Status> {
    return this.background.take(() => this.requestJson('status?probes=false'));
  }

  environments(): Promise<Environments> {
    return this.turns.take(() => this.requestJson('environments'));
  }

  snapshot(request: SnapshotRequest, signal?: AbortSignal): Promise<Snapshot> {
    return this.turns.take(() => this.requestJson('snapshots', 'POST', request, signal), signal);
  }

  contents(request: SnapshotRequest): Promise<Snapshot> {
    return this.turns.take(() => this.requestJson('snapshots', 'POST', request));
  }

  stamp(source: Source): Promise<Stamp> {
    return this.background.take(() => this.requestJson('stamps', 'POST', source, AbortSignal.timeout(LONGEST_STAMP)));
  }

  login(request: LoginRequest): Promise<Login> {
    return this.requestJson('logins', 'POST', request);
  }

  async logins(): Promise<Logins['logins']> {
    return (await this.turns.take(() => this.requestJson<Logins>('logins'))).logins;
  }

  permission(reference: string): Promise<Permission> {
    return this.questions.take(() => this.requestJson('permissions', 'POST', { reference }));
  }

  exports(request: ExportRequest): Promise<Export> {
    return this.turns.take(() => this.requestJson('exports', 'POST', request));
  }

  async lockfile(digest: string, format: LockFormat): Promise<string> {
    return (await this.request(`lockfiles/${encodeURIComponent(digest)}?format=${format}`)).text();
  }

  writeLockfile(digest: string, writing: LockfileWriting): Promise<Written> {
    return this.requestJson(`lockfiles/${encodeURIComponent(digest)}`, 'POST', writing);
  }

  licenses(of: { prefix: string } | { reference: string }): Promise<Licenses> {
    return this.turns.take(() => this.requestJson('licenses', 'POST', of));
  }

  inspect(reference: string, signal?: AbortSignal): Promise<Inspection> {
    return this.turns.take(() => this.requestJson('inspections', 'POST', { reference }, signal), signal);
  }

  async imageKernels(): Promise<ImageKernel[]> {
    return (await this.turns.take(() => this.requestJson<ImageKernels>('kernels'))).kernels;
  }

  async installKernels(image: SeenImage): Promise<ImageKernel[]> {
    for (;;) {
      const response = await this.request('kernels', 'POST', image);
      // The server answers 202 while the engine pulls the image: a proxy would end a longer request.
      if (response.status !== 202) {
        return ((await response.json()) as ImageKernels).kernels;
      }
    }
  }

  async removeKernel(name: string): Promise<void> {
    await this.request(`kernels?name=${encodeURIComponent(name)}`, 'DELETE');
  }

  async runs(): Promise<ImageRun[]> {
    return (await this.background.take(() => this.requestJson<{ runs: ImageRun[] }>('runs'))).runs;
  }

  startRun(image: SeenImage & { folder: string }): Promise<ImageRun> {
    return this.requestJson('runs', 'POST', image);
  }

  async endRun(id: string): Promise<void> {
    await this.request(`runs/${encodeURIComponent(id)}`, 'DELETE');
  }

  async recreations(): Promise<Recreation[]> {
    return (await this.background.take(() => this.requestJson<{ recreations: Recreation[] }>('recreations'))).recreations;
  }

  recreate(request: RecreationRequest): Promise<Recreation> {
    return this.requestJson('recreations', 'POST', request);
  }

  endRecreation(id: string): Promise<Recreation> {
    return this.requestJson(`recreations/${encodeURIComponent(id)}`, 'DELETE');
  }

  async checks(): Promise<Check[]> {
    return (await this.background.take(() => this.requestJson<{ checks: Check[] }>('checks'))).checks;
  }

  check(request: CheckRequest): Promise<Check> {
    return this.requestJson('checks', 'POST', request);
  }

  endCheck(build: string): Promise<Check> {
    return this.requestJson(`checks/${encodeURIComponent(build)}`, 'DELETE');
  }

  builds(): Promise<Builds> {
    return this.requestJson('builds?limit=1000');
  }

  async active(): Promise<Build[]> {
    return (await this.background.take(() => this.requestJson<NewEvents>('updates'))).others;
  }

  start(request: BuildRequest): Promise<Build> {
    return this.requestJson('builds', 'POST', request);
  }

  cancel(id: string): Promise<Build> {
    return this.requestJson(`builds/${encodeURIComponent(id)}`, 'DELETE');
  }

  async forget(id: string): Promise<void> {
    await this.request(`builds/${encodeURIComponent(id)}?forget=true`, 'DELETE');
  }

  whyUrl(why: string): string {
    const [page, section] = why.split('#');
    return `${this.url(`docs/${encodeURIComponent(page ?? '')}`)}#${encodeURIComponent(section ?? '')}`;
  }

  archiveUrl(id: string): string {
    return this.url(`builds/${encodeURIComponent(id)}/archive`);
  }

  difference(before: Side, after: Side): Promise<Difference> {
    return this.turns.take(() => this.requestJson('diffs', 'POST', { before, after }));
  }

  follow(id: string, follower: Follower): () => void {
    return this.updates.follow(id, follower);
  }

  private async newest(after: ReadonlyMap<string, number>, signal: AbortSignal): Promise<NewEvents> {
    // The server takes a hundred builds. The displayed build is among the last ones.
    const query = [...after].slice(-100).map(([id, seq]) => `after=${encodeURIComponent(id)}:${seq}`).join('&');
    return this.requestJson(`updates?${query}`, 'GET', undefined, signal);
  }

  private url(path: string): string {
    return URLExt.join(this.connection.baseUrl, 'condabuild', path);
  }

  private async requestJson<T>(path: string, method = 'GET', body?: object, signal?: AbortSignal): Promise<T> {
    return (await (await this.request(path, method, body, signal)).json()) as T;
  }

  private async request(path: string, method = 'GET', body?: object, signal?: AbortSignal): Promise<Response> {
    const init: RequestInit = { method, ...(body && { body: JSON.stringify(body) }), ...(signal && { signal }) };
    const response = await ServerConnection.makeRequest(this.url(path), init, this.connection);
    if (!response.ok) {
      throw await errorOf(response);
    }
    return response;
  }
}
