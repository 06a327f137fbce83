/** The REST API of the server extension. Only this file and `stream.ts` send requests. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Build, BuildRequest, Difference, Fault, Snapshot, SnapshotRequest, Status } from './contract';
import { follow, type Follower } from './stream';

/** An error response of the server. */
export class ServerError extends Error implements Fault {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string
  ) {
    super(message);
  }
}

/** The requests of the model. */
export interface Server {
  status(): Promise<Status>;
  snapshot(request: SnapshotRequest): Promise<Snapshot>;
  builds(): Promise<Build[]>;
  build(id: string): Promise<Build>;
  start(request: BuildRequest): Promise<Build>;
  cancel(id: string): Promise<Build>;
  /** Delete an ended build from the history. */
  forget(id: string): Promise<void>;
  /** The differences between two lock files, given by their digests. */
  difference(before: string, after: string): Promise<Difference>;
  follow(id: string, follower: Follower): () => void;
}

export class RestServer implements Server {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  status(): Promise<Status> {
    return this.requestJson('status');
  }

  snapshot(request: SnapshotRequest): Promise<Snapshot> {
    return this.requestJson('snapshots', 'POST', request);
  }

  async builds(): Promise<Build[]> {
    return (await this.requestJson<{ builds: Build[] }>('builds')).builds;
  }

  build(id: string): Promise<Build> {
    return this.requestJson(`builds/${encodeURIComponent(id)}`);
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
    return this.requestJson('diffs', 'POST', { before: { lockfile: before }, after: { lockfile: after } });
  }

  follow(id: string, follower: Follower): () => void {
    const url = this.url(`builds/${encodeURIComponent(id)}/events`);
    return follow(
      (headers, signal) =>
        ServerConnection.makeRequest(url, { headers, signal, cache: 'no-store' }, this.settings),
      follower
    );
  }

  private url(path: string): string {
    return URLExt.join(this.settings.baseUrl, 'condabuild', path);
  }

  private async requestJson<T>(path: string, method = 'GET', body?: object): Promise<T> {
    return (await (await this.request(path, method, body)).json()) as T;
  }

  private async request(path: string, method = 'GET', body?: object): Promise<Response> {
    const init: RequestInit = { method, ...(body && { body: JSON.stringify(body) }) };
    const response = await ServerConnection.makeRequest(this.url(path), init, this.settings);
    if (!response.ok) {
      throw await errorOf(response);
    }
    return response;
  }
}

/** The error of a response. Its body may have any form, because a proxy may have written it. */
async function errorOf(response: Response): Promise<ServerError> {
  const body: unknown = await response.json().catch(() => null);
  const field = (name: string): string => {
    const value = typeof body === 'object' && body ? (body as Record<string, unknown>)[name] : '';
    return typeof value === 'string' ? value : '';
  };
  // Our 404 has a code; Jupyter's 404 for a missing route has none.
  const code = field('code') || (response.status === 404 ? 'no_server_part' : 'http_error');
  const message = field('message') || `${response.status} ${response.statusText}`.trim();
  return new ServerError(code, message, field('hint'));
}
