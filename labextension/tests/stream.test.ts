import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Build, BuildEvent } from '../src/api/contract';
import { follow, type Connection, type Follower, type Open } from '../src/api/stream';
import { LITTLE_BUILD } from './events';

const text = (events: BuildEvent[]): string =>
  events.map(event => `id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`).join('');

/** A stream in pieces that end anywhere in lines and characters. */
function response(body: string, piece = 7): Response {
  const bytes = new TextEncoder().encode(body);
  return new Response(
    new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += piece) {
          controller.enqueue(bytes.slice(at, at + piece));
        }
        controller.close();
      }
    }),
    STREAM
  );
}

const STREAM = { headers: { 'Content-Type': 'text/event-stream' } };
const FORGOTTEN = { code: 'not_found', message: 'There is no build', hint: '' };

/** A server that gives these answers in order, and then the rest of the stream. It records the times of requests. */
function server(...answers: (() => Response)[]): { open: Open; asked: (string | undefined)[]; times: number[] } {
  const asked: (string | undefined)[] = [];
  const times: number[] = [];
  const open: Open = async headers => {
    const last = headers['Last-Event-ID'];
    times.push(Date.now());
    asked.push(last);
    return answers[asked.length - 1]?.() ?? response(text(LITTLE_BUILD.filter(event => event.seq > Number(last ?? 0))));
  };
  return { open, asked, times };
}

class Reader implements Follower {
  got: BuildEvent[] = [];
  builds: Build[] = [];
  connections: Connection[] = [];
  /** The answer of the model at the end of a stream: whether the build has ended. */
  knows = [true];
  end: (how: 'ended' | 'forgotten') => void = () => undefined;
  readonly over = new Promise<'ended' | 'forgotten'>(resolve => (this.end = resolve));
  lastSeq = (): number => this.got[this.got.length - 1]?.seq ?? 0;
  events = (events: BuildEvent[]): void => void this.got.push(...events);
  build = (build: Build): void => void this.builds.push(build);
  connection = (now: Connection): void => void this.connections.push(now);
  ended = async (): Promise<boolean> => {
    const known = this.knows.shift() ?? true;
    if (known) {
      this.end('ended');
    }
    return known;
  };
  forgotten = (): void => this.end('forgotten');
}

/** The end of a stream after enough time for every wait. */
async function over(reader: Reader): Promise<'ended' | 'forgotten'> {
  await vi.advanceTimersByTimeAsync(600_000);
  return reader.over;
}

describe('a stream of events', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('is read to its end, in any pieces', async () => {
    const reader = new Reader();
    const state = 'event: build\ndata: {"id": "1", "state": "finished"}\n\n';
    follow(async () => response(`${state}: keepalive\n\n${text(LITTLE_BUILD)}${state}`), reader);
    await over(reader);
    expect(reader.got).toEqual(LITTLE_BUILD);
    expect(reader.builds).toHaveLength(2);
  });

  it('continues after the last event when the connection is lost', async () => {
    const reader = new Reader();
    const { open, asked } = server(
      () => response(text(LITTLE_BUILD.slice(0, 4)) + 'id: 5\ndata: {"type": "lo'),
      () => {
        throw new TypeError('network');
      },
      () => new Response('', { status: 502 })
    );
    follow(open, reader);
    expect(await over(reader)).toBe('ended');
    expect(asked).toEqual([undefined, '4', '4', '4']);
    expect(reader.got).toEqual(LITTLE_BUILD);
    expect(reader.connections).toEqual(['open', 'lost', 'lost', 'lost', 'open']);
  });

  it('ends if the server says that there are no more events', async () => {
    const reader = new Reader();
    const { open, asked } = server(() => new Response(null, { status: 204 }));
    follow(open, reader);
    expect(await over(reader)).toBe('ended');
    expect(asked).toHaveLength(1);
  });

  it('ends if the build was deleted on the server', async () => {
    const reader = new Reader();
    const { open, asked } = server(() => Response.json(FORGOTTEN, { status: 404 }));
    follow(open, reader);
    expect(await over(reader)).toBe('forgotten');
    expect(asked).toHaveLength(1);
  });

  it.each([
    ['denied', 401],
    ['denied', 403],
    ['busy', 429],
    // The route is missing, or the user's server in a JupyterHub is not running.
    ['lost', 404],
    ['lost', 424],
    ['lost', 503]
  ] as const)('is asked for again where it is %s (%i), and goes on where it was', async (connection, status) => {
    const reader = new Reader();
    const no = (): Response => Response.json({ code: 'forbidden' }, { status });
    const { open, asked } = server(() => response(text(LITTLE_BUILD.slice(0, 4))), no, no, no);
    follow(open, reader);
    expect(await over(reader)).toBe('ended');
    expect(asked).toEqual([undefined, '4', '4', '4', '4']);
    expect(reader.got).toEqual(LITTLE_BUILD);
    expect(reader.connections).toEqual(['open', 'lost', connection, connection, connection, 'open']);
  });

  it('is requested with growing waits of at most 15 seconds while it is refused', async () => {
    const reader = new Reader();
    const no = (): Response => new Response('', { status: 403 });
    const { open, times } = server(...Array.from({ length: 9 }, () => no));
    follow(open, reader);
    await over(reader);
    const waits = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(waits.map(wait => Math.floor(wait / 1000))).toEqual([1, 2, 4, 8, 15, 15, 15, 15, 15]);
  });

  it.each([
    ['30', 30],
    [new Date(Date.UTC(2030, 0, 1, 0, 0, 41)).toUTCString(), 40],
    ['100000', 300],
    ['soon', 1],
    ['-5', 1]
  ])('waits for the time of Retry-After, within limits: %s', async (text, seconds) => {
    vi.setSystemTime(Date.UTC(2030, 0, 1, 0, 0, 0, 500));
    const reader = new Reader();
    const { open, times } = server(() => new Response('', { status: 429, headers: { 'Retry-After': text } }));
    follow(open, reader);
    await over(reader);
    expect(Math.floor(((times[1] ?? 0) - (times[0] ?? 0)) / 1000)).toBe(seconds);
  });

  it('is not read from the login page of a proxy', async () => {
    const reader = new Reader();
    const page = (): Response => new Response('data: {"seq": 1}\n\n', { headers: { 'Content-Type': 'text/html' } });
    follow(server(page).open, reader);
    await over(reader);
    expect(reader.connections).toEqual(['lost', 'open']);
    expect(reader.got).toEqual(LITTLE_BUILD);
  });

  it('is requested again if the result of the build is unknown', async () => {
    const reader = new Reader();
    reader.knows = [false, true];
    const { open, asked } = server(
      () => response(text(LITTLE_BUILD)),
      () => new Response(null, { status: 204 })
    );
    follow(open, reader);
    await over(reader);
    expect(asked).toEqual([undefined, String(LITTLE_BUILD.length)]);
  });

  it('reports nothing after it was stopped, although the server answers', async () => {
    const reader = new Reader();
    let answer: (response: Response) => void = () => undefined;
    const stop = follow(() => new Promise(resolve => (answer = resolve)), reader);
    stop();
    answer(response(text(LITTLE_BUILD)));
    await vi.advanceTimersByTimeAsync(60_000);
    expect([reader.got, reader.connections]).toEqual([[], []]);
  });

  it('is not read after it was stopped', async () => {
    const reader = new Reader();
    let signal: AbortSignal | undefined;
    const stop = follow((_, given) => {
      signal = given;
      return new Promise(() => undefined);
    }, reader);
    stop();
    expect(signal?.aborted).toBe(true);
  });

  it('skips data that is not JSON', async () => {
    const reader = new Reader();
    follow(async () => response(`data: {oops\n\ndata: 7\n\ndata: null\n\n${text(LITTLE_BUILD)}`), reader);
    await over(reader);
    expect(reader.got).toEqual(LITTLE_BUILD);
  });
});
