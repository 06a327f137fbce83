/** The server part over REST: the only requests of the panel are made here and in `stream.ts`. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Build, BuildRequest, Difference, Fault, Snapshot, SnapshotRequest, Status } from './contract';
import { follow, type Follower } from './stream';

/** An answer of the server that is not what was asked for. */
export class ServerError extends Error implements Fault {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
    readonly status: number
  ) {
    super(message);
  }

  /** Whether it is the server part that is missing, not what was asked of it. */
  get absent(): boolean {
    return this.status === 404 && this.code === 'no_server_part';
  }
}

/** What the model needs of the network. */
export interface Server {
  status(): Promise<Status>;
  snapshot(request: SnapshotRequest): Promise<Snapshot>;
  builds(): Promise<Build[]>;
  build(id: string): Promise<Build>;
  start(request: BuildRequest): Promise<Build>;
  cancel(id: string): Promise<Build>;
  /** Remove an ended build from the history. */
  forget(id: string): Promise<void>;
  /** What differs between two lock files. */
  difference(before: string, after: string): Promise<Difference>;
  follow(id: string, follower: Follower): () => void;
}

export class RestServer implements Server {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  status(): Promise<Status> {
    return this.json('status');
  }

  snapshot(request: SnapshotRequest): Promise<Snapshot> {
    return this.json('snapshots', 'POST', request);
  }

  async builds(): Promise<Build[]> {
    return (await this.json<{ builds: Build[] }>('builds')).builds;
  }

  build(id: string): Promise<Build> {
    return this.json(`builds/${encodeURIComponent(id)}`);
  }

  start(request: BuildRequest): Promise<Build> {
    return this.json('builds', 'POST', request);
  }

  cancel(id: string): Promise<Build> {
    return this.json(`builds/${encodeURIComponent(id)}`, 'DELETE');
  }

  async forget(id: string): Promise<void> {
    await this.ask(`builds/${encodeURIComponent(id)}?forget=true`, 'DELETE');
  }

  difference(before: string, after: string): Promise<Difference> {
    return this.json('diffs', 'POST', { before: { lockfile: before }, after: { lockfile: after } });
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

  private async json<T>(path: string, method = 'GET', body?: object): Promise<T> {
    return (await (await this.ask(path, method, body)).json()) as T;
  }

  private async ask(path: string, method = 'GET', body?: object): Promise<Response> {
    const init: RequestInit = { method, ...(body && { body: JSON.stringify(body) }) };
    const response = await ServerConnection.makeRequest(this.url(path), init, this.settings);
    if (!response.ok) {
      throw await refusal(response);
    }
    return response;
  }
}

/** The error in an answer; a proxy before the server may have written it, so nothing of its form is taken for granted. */
async function refusal(response: Response): Promise<ServerError> {
  const body: unknown = await response.json().catch(() => null);
  const field = (name: string): string => {
    const value = typeof body === 'object' && body ? (body as Record<string, unknown>)[name] : '';
    return typeof value === 'string' ? value : '';
  };
  // Our own 404 has a code; Jupyter's, for a route that nobody serves, has none.
  const code = field('code') || (response.status === 404 ? 'no_server_part' : 'http_error');
  const message = field('message') || `${response.status} ${response.statusText}`.trim();
  return new ServerError(code, message, field('hint'), response.status);
}
