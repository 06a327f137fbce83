/** The events of a build, followed across connections until the build has ended. */

import { createParser, type EventSourceMessage } from 'eventsource-parser';

import type { Build, BuildEvent } from './contract';

/**
 * The state of a connection. `lost`: the network, a proxy or the server does not answer. `denied`: the server requires a login,
 * because a token or cookie has expired. `busy`: the server limits the rate of requests.
 */
export type Connection = 'open' | 'lost' | 'denied' | 'busy';

export interface Follower {
  /** The number of the last event that is known; a new connection continues after it. */
  lastSeq(): number;
  /** Events that arrived together. */
  events(events: BuildEvent[]): void;
  build(build: Build): void;
  connection(connection: Connection): void;
  /** The stream has ended. Resolves to whether the build has ended, too; otherwise the stream is opened again. */
  ended(): Promise<boolean>;
  /** The server no longer has the build: it was deleted from the history. */
  forgotten(): void;
}

export type Open = (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>;

/** How a connection ended. */
type Outcome = 'over' | 'forgotten' | Interrupted;

interface Interrupted {
  connection: Exclude<Connection, 'open'>;
  /** Whether events were received. */
  progressed: boolean;
  /** The wait that the server asks for, in milliseconds. */
  retryAfter: number;
}

/** The shortest and the longest wait before the next connection, in milliseconds. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** The longest `Retry-After` that is respected, in milliseconds. */
const LONGEST_RETRY_AFTER = 300_000;
/** The longest time without data on a connection, in milliseconds: the server writes a comment every 15 s. */
const SILENCE = 45_000;

/** The number of bytes that are parsed at a time: a replay can have many megabytes. */
const CHUNK = 32_000;
/** The time for parsing events before the page can draw, in milliseconds. */
const PARSING_TIME = 8;
/** The longest wait for the page to draw, in milliseconds: browsers do not draw a hidden page. */
const DRAWING_TIME = 50;

/**
 * Follow a stream until its build has ended or is deleted; returns a function that stops it. After any other
 * interruption the stream is opened again, with growing waits: a refused connection does not mean that the build has ended.
 */
export function follow(open: Open, follower: Follower): () => void {
  const stop = new AbortController();
  void run(open, follower, stop.signal);
  return () => stop.abort();
}

async function run(open: Open, follower: Follower, stop: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT;
  while (!stop.aborted) {
    const outcome = await readOnce(open, follower, stop);
    if (stop.aborted) {
      return;
    }
    if (outcome === 'forgotten') {
      follower.forgotten();
      return;
    }
    if (outcome === 'over' && ((await follower.ended()) || stop.aborted)) {
      return;
    }
    const { connection, progressed, retryAfter } = outcome === 'over' ? interrupted('lost') : outcome;
    follower.connection(connection);
    wait = progressed ? FIRST_WAIT : Math.min(wait * 2, LONGEST_WAIT);
    await pause(Math.max(wait, retryAfter), stop);
  }
}

/** Open one connection, and read it until it ends. */
async function readOnce(open: Open, follower: Follower, stop: AbortSignal): Promise<Outcome> {
  const connection = new AbortController();
  const abort = (): void => connection.abort();
  stop.addEventListener('abort', abort);
  let watchdog = setTimeout(abort, SILENCE);
  const batch = new Batch(follower);
  try {
    const last = follower.lastSeq();
    const response = await open(
      { Accept: 'text/event-stream', ...(last > 0 && { 'Last-Event-ID': String(last) }) },
      connection.signal
    );
    if (response.status === 204) {
      return 'over';
    }
    if (!response.ok) {
      return await outcomeOf(response);
    }
    // A proxy may answer in place of the server, with a login page.
    if (!response.body || !isStream(response) || stop.aborted) {
      return interrupted('lost');
    }
    follower.connection('open');
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let lastDrawn = performance.now();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      clearTimeout(watchdog);
      watchdog = setTimeout(abort, SILENCE);
      for (let at = 0; at < value.length && !stop.aborted; at += CHUNK) {
        batch.feed(decoder.decode(value.subarray(at, at + CHUNK), { stream: true }));
        if (performance.now() - lastDrawn > PARSING_TIME) {
          await nextFrame();
          lastDrawn = performance.now();
        }
      }
    }
    return batch.ended ? 'over' : interrupted('lost', batch.received);
  } catch {
    return interrupted('lost', batch.received);
  } finally {
    clearTimeout(watchdog);
    // A body that is not read would hold the connection.
    connection.abort();
    stop.removeEventListener('abort', abort);
  }
}

function interrupted(connection: Interrupted['connection'], progressed = false, retryAfter = 0): Interrupted {
  return { connection, progressed, retryAfter };
}

/** The outcome of an error response. */
async function outcomeOf(response: Response): Promise<Outcome> {
  switch (response.status) {
    case 401:
    case 403:
      return interrupted('denied');
    case 404:
      // A 404 without our code means that the route is missing: the extension is disabled, or a hub's server is not running.
      return parseObject(await response.text())?.['code'] === 'not_found' ? 'forgotten' : interrupted('lost');
    case 429:
      return interrupted('busy', false, retryAfter(response));
    default:
      return interrupted('lost', false, retryAfter(response));
  }
}

/** The header `Retry-After`, a number of seconds or a date, in milliseconds; 0 without one. Source: RFC 9110, section 10.2.3 */
function retryAfter(response: Response): number {
  const text = response.headers.get('Retry-After') ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return wait > 0 ? Math.min(wait, LONGEST_RETRY_AFTER) : 0;
}

function isStream(response: Response): boolean {
  return response.headers.get('Content-Type')?.startsWith('text/event-stream') ?? false;
}

/** Passes on the events of one chunk together, so that the panel is drawn once for many events. */
class Batch {
  received = false;
  ended = false;
  private events: BuildEvent[] = [];
  private readonly parser = createParser({ onEvent: message => this.parse(message) });

  constructor(private readonly follower: Follower) {}

  feed(text: string): void {
    this.parser.feed(text);
    this.flush();
  }

  private parse(message: EventSourceMessage): void {
    const data = parseObject(message.data);
    if (!data) {
      return;
    }
    if (message.event === 'build') {
      this.flush();
      this.follower.build(data as unknown as Build);
      return;
    }
    if (message.event || typeof data['seq'] !== 'number') {
      return;
    }
    this.received = true;
    this.ended ||= ['finished', 'failed', 'cancelled'].includes(String(data['type']));
    this.events.push(data as unknown as BuildEvent);
  }

  private flush(): void {
    if (this.events.length) {
      const events = this.events;
      this.events = [];
      this.follower.events(events);
    }
  }
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
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

function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, milliseconds);
    stop.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
