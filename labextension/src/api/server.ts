/** The REST API of the server extension. Only this file sends requests. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Build, BuildRequest, Difference, Snapshot, SnapshotRequest, Status, Update } from './contract';
import { errorOf } from './error';
import { Turns } from './turns';
import { Updates, type Follower } from './updates';

/** The requests of the model. */
export interface Server {
  status(): Promise<Status>;
  /** The promise of an aborted request is rejected. */
  snapshot(request: SnapshotRequest, signal?: AbortSignal): Promise<Snapshot>;
  builds(): Promise<Build[]>;
  start(request: BuildRequest): Promise<Build>;
  cancel(id: string): Promise<Build>;
  /** Delete an ended build from the history. */
  forget(id: string): Promise<void>;
  /** The differences between two lock files, given by their digests. */
  difference(before: string, after: string): Promise<Difference>;
  /** Follow the events of a build; returns a function that stops it. */
  follow(id: string, follower: Follower): () => void;
}

export class RestServer implements Server {
  /** The events of all builds that are followed. */
  readonly updates: Updates;
  private readonly turns = new Turns();

  constructor(private readonly settings: ServerConnection.ISettings) {
    this.updates = new Updates(
      (after, signal) => this.newest(after, signal),
      () => document.hidden
    );
  }

  status(): Promise<Status> {
    return this.turns.take(() => this.requestJson('status'));
  }

  snapshot(request: SnapshotRequest, signal?: AbortSignal): Promise<Snapshot> {
    return this.turns.take(() => this.requestJson('snapshots', 'POST', request, signal), signal);
  }

  async builds(): Promise<Build[]> {
    return (await this.requestJson<{ builds: Build[] }>('builds')).builds;
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

  difference(before: string, after: string): Promise<Difference> {
    const sides = { before: { lockfile: before }, after: { lockfile: after } };
    return this.turns.take(() => this.requestJson('diffs', 'POST', sides));
  }

  follow(id: string, follower: Follower): () => void {
    return this.updates.follow(id, follower);
  }

  private async newest(after: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Update[]> {
    const query = [...after].map(([id, seq]) => `after=${encodeURIComponent(id)}:${seq}`).join('&');
    return (await this.requestJson<{ updates: Update[] }>(`updates?${query}`, 'GET', undefined, signal)).updates;
  }

  private url(path: string): string {
    return URLExt.join(this.settings.baseUrl, 'condabuild', path);
  }

  private async requestJson<T>(path: string, method = 'GET', body?: object, signal?: AbortSignal): Promise<T> {
    return (await (await this.request(path, method, body, signal)).json()) as T;
  }

  private async request(path: string, method = 'GET', body?: object, signal?: AbortSignal): Promise<Response> {
    const init: RequestInit = { method, ...(body && { body: JSON.stringify(body) }), ...(signal && { signal }) };
    const response = await ServerConnection.makeRequest(this.url(path), init, this.settings);
    if (!response.ok) {
      throw await errorOf(response);
    }
    return response;
  }
}
