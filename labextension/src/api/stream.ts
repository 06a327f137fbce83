/** A build's events, followed across lost connections until the build ends. */

import { createParser, type EventSourceMessage } from 'eventsource-parser';

import type { Build, BuildEvent } from './contract';

export interface Follower {
  /** The id of the last event that is known; the stream goes on after it. */
  lastSeq(): number;
  /** Events that arrived together. */
  events(events: BuildEvent[]): void;
  build(build: Build): void;
  /** Whether there is a connection. */
  connected(yes: boolean): void;
  /** The stream is over; `status` is the server's where it refused. */
  ended(status: number): void;
}

export type Open = (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>;

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** The server writes a comment every 15 s: after three times that the connection is dead, whatever the browser believes. */
const SILENCE = 45_000;

/** A replay can be of many megabytes: it is read in pieces of so many bytes, … */
const PIECE = 32_000;
/** … and after so many milliseconds of reading the page may draw. */
const STRETCH = 8;
/** How long to wait for a drawing, in milliseconds: a page that nobody sees is not drawn. */
const UNSEEN = 50;

/** Follow a stream; the result ends it. A lost connection is made again, later and later, and says where it was. */
export function follow(open: Open, follower: Follower): () => void {
  const stop = new AbortController();
  void run(open, follower, stop.signal);
  return () => stop.abort();
}

async function run(open: Open, follower: Follower, stop: AbortSignal): Promise<void> {
  let wait = FIRST_WAIT;
  while (!stop.aborted) {
    const outcome = await once(open, follower, stop).catch(() => 'lost' as const);
    if (stop.aborted) {
      return;
    }
    if (typeof outcome === 'number') {
      follower.connected(false);
      follower.ended(outcome);
      return;
    }
    follower.connected(false);
    wait = outcome === 'cut' ? FIRST_WAIT : Math.min(wait * 2, LONGEST_WAIT);
    await pause(wait, stop);
  }
}

/** One connection: the status that ends the stream, `cut` after events came, else `lost`. */
async function once(open: Open, follower: Follower, stop: AbortSignal): Promise<number | 'cut' | 'lost'> {
  const connection = new AbortController();
  const abort = (): void => connection.abort();
  stop.addEventListener('abort', abort);
  let watchdog = setTimeout(abort, SILENCE);
  try {
    const last = follower.lastSeq();
    const response = await open(
      { Accept: 'text/event-stream', ...(last > 0 && { 'Last-Event-ID': String(last) }) },
      connection.signal
    );
    if (response.status === 204) {
      return 204;
    }
    if (!response.ok) {
      // Refused for good; a 5xx or 429 is a server that starts or is busy.
      return response.status < 500 && response.status !== 429 ? response.status : 'lost';
    }
    if (!response.body) {
      return 'lost';
    }
    follower.connected(true);
    const batch = new Batch(follower);
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
    return batch.ended ? response.status : batch.some ? 'cut' : 'lost';
  } finally {
    clearTimeout(watchdog);
    stop.removeEventListener('abort', abort);
  }
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
