import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Build, BuildEvent } from '../src/api/contract';
import { follow, type Follower, type Open } from '../src/api/stream';
import { LITTLE_BUILD } from './events';

const text = (events: BuildEvent[]): string =>
  events.map(event => `id: ${event.seq}\ndata: ${JSON.stringify(event)}\n\n`).join('');

/** A stream in pieces that cut lines and characters where they like. */
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
    })
  );
}

class Reader implements Follower {
  got: BuildEvent[] = [];
  builds: Build[] = [];
  connections: boolean[] = [];
  end: (status: number) => void = () => undefined;
  readonly over = new Promise<number>(resolve => (this.end = resolve));
  lastSeq = (): number => this.got[this.got.length - 1]?.seq ?? 0;
  events = (events: BuildEvent[]): void => void this.got.push(...events);
  build = (build: Build): void => void this.builds.push(build);
  connected = (yes: boolean): void => void this.connections.push(yes);
  ended = (status: number): void => this.end(status);
}

describe('a stream of events', () => {
  beforeEach(() => void vi.useFakeTimers({ shouldAdvanceTime: true, advanceTimeDelta: 200 }));
  afterEach(() => void vi.useRealTimers());

  it('is read to its end, whatever pieces it comes in', async () => {
    const reader = new Reader();
    const state = 'event: build\ndata: {"id": "1", "state": "finished"}\n\n';
    follow(async () => response(`${state}: keepalive\n\n${text(LITTLE_BUILD)}${state}`), reader);
    await reader.over;
    expect(reader.got).toEqual(LITTLE_BUILD);
    expect(reader.builds).toHaveLength(2);
  });

  it('goes on after the last event when the connection is lost', async () => {
    const reader = new Reader();
    const asked: (string | undefined)[] = [];
    const answers = [
      () => response(text(LITTLE_BUILD.slice(0, 4)) + 'id: 5\ndata: {"type": "lo'),
      () => {
        throw new TypeError('network');
      },
      () => new Response('', { status: 502 }),
      () => response(text(LITTLE_BUILD.slice(4)))
    ];
    const open: Open = async headers => {
      asked.push(headers['Last-Event-ID']);
      return answers[asked.length - 1]?.() ?? response('');
    };
    follow(open, reader);
    expect(await reader.over).toBe(200);
    expect(asked).toEqual([undefined, '4', '4', '4']);
    expect(reader.got).toEqual(LITTLE_BUILD);
    expect(reader.connections).toEqual([true, false, false, false, true, false]);
  });

  it('ends where the server says that there is nothing more, or refuses', async () => {
    for (const status of [204, 403, 404]) {
      const reader = new Reader();
      const open = vi.fn(async () => new Response(null, { status }));
      follow(open, reader);
      expect(await reader.over).toBe(status);
      expect(open).toHaveBeenCalledTimes(1);
    }
  });

  it('is no longer read when nobody follows', async () => {
    const reader = new Reader();
    let signal: AbortSignal | undefined;
    const stop = follow((_, given) => {
      signal = given;
      return new Promise(() => undefined);
    }, reader);
    stop();
    expect(signal?.aborted).toBe(true);
  });

  it('bears data that is no JSON', async () => {
    const reader = new Reader();
    follow(async () => response(`data: {oops\n\ndata: 7\n\ndata: null\n\n${text(LITTLE_BUILD)}`), reader);
    await reader.over;
    expect(reader.got).toEqual(LITTLE_BUILD);
  });
});
