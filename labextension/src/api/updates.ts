/** The events of builds, followed by one short request at a time for all builds of a window. */

import { ServerError } from './error';
import type { Build, BuildEvent, NewEvents, Update } from './contract';

/**
 * The state of the connection. `lost`: the network, a proxy or the server does not answer. `denied`: the server requires a login,
 * because a token or cookie has expired. `busy`: the server limits the rate of requests.
 */
export type Connection = 'open' | 'lost' | 'denied' | 'busy';

export interface Follower {
  /** The number of the last event that is known. */
  lastSeq(): number;
  /** Events that arrived together. */
  events(events: BuildEvent[]): void;
  build(build: Build): void;
  /** Builds that wait or run and that are not followed: another window started them. */
  others(builds: Build[]): void;
  connection(connection: Connection): void;
  /** The server no longer has the build: it was deleted from the history. */
  forgotten(): void;
}

/** Requests the updates of builds, by their ids, after the events with these numbers. */
export type Ask = (after: ReadonlyMap<string, number>, signal: AbortSignal) => Promise<NewEvents>;

/** The time between two requests while the page is visible, and while it is hidden, in milliseconds. */
const PACE = 500;
const HIDDEN_PACE = 5000;
/** The shortest and the longest wait after a request without an answer, in milliseconds. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** The longest time for an answer, in milliseconds: the server answers at once, but a network may be slow. */
const PATIENCE = 45_000;
/** The longest wait for the page to draw, in milliseconds: browsers do not draw a hidden page. */
const DRAWING_TIME = 50;

/**
 * Follows builds until they have ended or are deleted. A browser opens six connections to a server, for all windows of
 * JupyterLab together, and JupyterLab needs them. So there is no stream: one request at a time asks for all builds, and
 * the server answers it at once. A refused request does not mean that a build has ended: it is sent again, with growing waits.
 */
export class Updates {
  private readonly followers = new Map<string, Follower>();
  private running = false;
  /** Ends the current wait, if there is one. */
  private hurry: () => void = () => undefined;
  private readonly stop = new AbortController();

  constructor(
    private readonly ask: Ask,
    private readonly isHidden: () => boolean
  ) {}

  /** Follow a build; returns a function that stops it. */
  follow(id: string, follower: Follower): () => void {
    this.followers.set(id, follower);
    if (this.running) {
      this.hurry();
    } else {
      this.running = true;
      void this.run();
    }
    return () => void this.followers.delete(id);
  }

  /** Ask now, without the rest of the current wait: the page is visible again. */
  wake(): void {
    this.hurry();
  }

  dispose(): void {
    this.followers.clear();
    this.stop.abort();
    this.hurry();
  }

  private async run(): Promise<void> {
    let wait = FIRST_WAIT;
    // The builds that are followed from now on are in the first request.
    await Promise.resolve();
    while (this.followers.size) {
      const answer = await this.request();
      if (this.stop.signal.aborted) {
        break;
      }
      if ('updates' in answer) {
        wait = FIRST_WAIT;
        const [first] = this.followers.values();
        const more = this.take(answer.updates);
        if (answer.others.length) {
          first?.others(answer.others);
        }
        await (more ? nextFrame() : this.pause(this.isHidden() ? HIDDEN_PACE : PACE));
      } else {
        this.followers.forEach(follower => follower.connection(answer.connection));
        wait = Math.min(wait * 2, LONGEST_WAIT);
        await this.pause(Math.max(wait, answer.retryAfter));
      }
    }
    this.running = false;
  }

  private async request(): Promise<NewEvents | { connection: Exclude<Connection, 'open'>; retryAfter: number }> {
    const patience = new AbortController();
    const abort = (): void => patience.abort();
    const timer = setTimeout(abort, PATIENCE);
    this.stop.signal.addEventListener('abort', abort);
    try {
      return await this.ask(new Map([...this.followers].map(([id, follower]) => [id, follower.lastSeq()])), patience.signal);
    } catch (error) {
      return error instanceof ServerError
        ? { connection: connectionOf(error.status), retryAfter: error.retryAfter }
        : { connection: 'lost', retryAfter: 0 };
    } finally {
      clearTimeout(timer);
      this.stop.signal.removeEventListener('abort', abort);
    }
  }

  /** Pass on the updates; returns whether the server has more events now. */
  private take(updates: readonly Update[]): boolean {
    this.followers.forEach(follower => follower.connection('open'));
    for (const { id, build, events, state } of updates) {
      // The build may have been removed while the request was on its way.
      const follower = this.followers.get(id);
      if (!follower) {
        continue;
      }
      if (events.length) {
        follower.events(events);
      }
      if (build) {
        follower.build(build);
      }
      if (state === 'complete' || state === 'gone') {
        this.followers.delete(id);
      }
      if (state === 'gone') {
        follower.forgotten();
      }
    }
    return updates.some(({ state }) => state === 'more');
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, milliseconds);
      this.hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function connectionOf(status: number): Exclude<Connection, 'open'> {
  switch (status) {
    case 401:
    case 403:
      return 'denied';
    case 429:
      return 'busy';
    default:
      return 'lost';
  }
}

/** Wait until the page has drawn a frame and handled input. */
function nextFrame(): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, DRAWING_TIME);
    globalThis.requestAnimationFrame?.(() => {
      clearTimeout(timer);
      setTimeout(resolve);
    });
  });
}
