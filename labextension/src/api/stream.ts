/** A build's events, followed across lost connections until the build ends. */

import { createParser, type EventSourceMessage } from 'eventsource-parser';

import type { Build, BuildEvent } from './contract';

/**
 * How a stream is connected. `lost` is a network, proxy or server that does not answer; `denied` is a server that no longer
 * knows the user, until a token or cookie is renewed; `busy` is a server that limits how often it is asked.
 */
export type Connection = 'open' | 'lost' | 'denied' | 'busy';

export interface Follower {
  /** The id of the last event that is known; the stream goes on after it. */
  lastSeq(): number;
  /** Events that arrived together. */
  events(events: BuildEvent[]): void;
  build(build: Build): void;
  connection(now: Connection): void;
  /** The stream is over. Resolves to whether the build has ended; else the stream is asked for again. */
  ended(): Promise<boolean>;
  /** The server no longer knows the build: it was deleted from the history. */
  forgotten(): void;
}

export type Open = (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>;

/** How one connection ended. */
type Outcome = 'over' | 'forgotten' | Interrupted;

interface Interrupted {
  connection: Exclude<Connection, 'open'>;
  /** Whether events came through it. */
  progressed: boolean;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter: number;
}

/** The shortest and the longest wait before the next connection, in milliseconds. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** The longest wait that a server may ask for, in milliseconds. */
const LONGEST_RETRY_AFTER = 300_000;
/** The server writes a comment every 15 s: after three times that the connection is dead, whatever the browser believes. */
const SILENCE = 45_000;

/** A replay can be of many megabytes: it is read in pieces of so many bytes, … */
const PIECE = 32_000;
/** … and after so many milliseconds of reading the page may draw. */
const STRETCH = 8;
/** How long to wait for a drawing, in milliseconds: a page that nobody sees is not drawn. */
const UNSEEN = 50;

/**
 * Follow a stream until its build has ended or is forgotten; the result ends it sooner. Whatever else interrupts it, it is
 * asked for again, later and later, from the event where it was: a refusal says nothing of the build, which goes on.
 */
export function follow(open: Open, follower: Follower): () => void {
  const stop = new AbortController();
  void run(open, follower, stop.signal);
  return () => stop.abort();
}

async function run(open: Open, follower: Follower, stop: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT;
  while (!stop.aborted) {
    const outcome = await once(open, follower, stop);
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

/** One connection, until it ends. */
async function once(open: Open, follower: Follower, stop: AbortSignal): Promise<Outcome> {
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
      return await refusal(response);
    }
    // A proxy may answer for the server, with a page to log in.
    if (!response.body || !isStream(response) || stop.aborted) {
      return interrupted('lost');
    }
    follower.connection('open');
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rested = performance.now();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      clearTimeout(watchdog);
      watchdog = setTimeout(abort, SILENCE);
      for (let at = 0; at < value.length && !stop.aborted; at += PIECE) {
        batch.feed(decoder.decode(value.subarray(at, at + PIECE), { stream: true }));
        if (performance.now() - rested > STRETCH) {
          await breath();
          rested = performance.now();
        }
      }
    }
    return batch.ended ? 'over' : interrupted('lost', batch.some);
  } catch {
    return interrupted('lost', batch.some);
  } finally {
    clearTimeout(watchdog);
    stop.removeEventListener('abort', abort);
  }
}

function interrupted(connection: Interrupted['connection'], progressed = false, retryAfter = 0): Interrupted {
  return { connection, progressed, retryAfter };
}

/** What the refusal of a stream means. */
async function refusal(response: Response): Promise<Outcome> {
  switch (response.status) {
    case 401:
    case 403:
      return interrupted('denied');
    case 404:
      // Without this code it is the route that is not there: the extension is off, or a hub has no server at the moment.
      return object(await response.text())?.['code'] === 'not_found' ? 'forgotten' : interrupted('lost');
    case 429:
      return interrupted('busy', false, retryAfter(response));
    default:
      return interrupted('lost', false, retryAfter(response));
  }
}

/** The header Retry-After in milliseconds, which is a number of seconds or a date; 0 where there is none. */
function retryAfter(response: Response): number {
  const text = response.headers.get('Retry-After') ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return wait > 0 ? Math.min(wait, LONGEST_RETRY_AFTER) : 0;
}

function isStream(response: Response): boolean {
  return response.headers.get('Content-Type')?.startsWith('text/event-stream') ?? false;
}

/** Hands on what one read brought as one batch, so that a replay of many thousand events is drawn once. */
class Batch {
  some = false;
  ended = false;
  private events: BuildEvent[] = [];
  private readonly parser = createParser({ onEvent: message => this.receive(message) });

  constructor(private readonly follower: Follower) {}

  feed(text: string): void {
    this.parser.feed(text);
    this.flush();
  }

  private receive(message: EventSourceMessage): void {
    const data = object(message.data);
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
    this.some = true;
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

function object(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Lets the page draw and a person click: until the next frame, or for a moment where nothing is drawn. */
function breath(): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, UNSEEN);
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
