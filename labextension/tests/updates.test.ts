import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Build, BuildEvent, Update } from '../src/api/contract';
import { errorOf } from '../src/api/error';
import { LAST_SLOT, Turns } from '../src/api/turns';
import { Updates, type Connection, type Follower } from '../src/api/updates';
import { LITTLE_BUILD } from './events';
import { aBuild } from './things';

const [ONE, OTHER] = ['1'.repeat(16), '2'.repeat(16)];

class Reader implements Follower {
  got: BuildEvent[] = [];
  builds: Build[] = [];
  connections: Connection[] = [];
  gone = false;
  lastSeq = (): number => this.got[this.got.length - 1]?.seq ?? 0;
  events = (events: BuildEvent[]): void => void this.got.push(...events);
  build = (build: Build): void => void this.builds.push(build);
  connection = (now: Connection): void => void (now !== this.connections.at(-1) && this.connections.push(now));
  found: Build[] = [];
  others = (builds: Build[]): void => void this.found.push(...builds);
  forgotten = (): void => void (this.gone = true);
}

/** The server's answer for the little build, some events at a time. */
function update(id: string, after: number, most = Infinity): Update {
  const events = LITTLE_BUILD.filter(({ seq }) => seq > after).slice(0, most);
  const isOver = (events.at(-1)?.seq ?? after) === LITTLE_BUILD.length;
  return { id, state: isOver ? 'complete' : 'waiting', build: aBuild({ id, state: isOver ? 'finished' : 'running' }), events };
}

/** A server that gives these answers in order, and then all events. It records the requests and their times. */
class Answers {
  asked: Record<string, number>[] = [];
  times: number[] = [];
  hidden = false;
  others: Build[] = [];
  /** The requests that wait for an answer now, and the highest number of them at any time. */
  open = 0;
  mostOpen = 0;
  readonly updates: Updates;
  private readonly answers: ((after: [string, number][]) => Update[] | Promise<Update[]>)[];

  constructor(...answers: ((after: [string, number][]) => Update[] | Promise<Update[]>)[]) {
    this.answers = answers;
    this.updates = new Updates(
      async after => {
        this.mostOpen = Math.max(this.mostOpen, ++this.open);
        this.times.push(Date.now());
        this.asked.push(Object.fromEntries(after));
        try {
          const answer = this.answers[this.asked.length - 1];
          const updates = await (answer?.([...after]) ?? [...after].map(([id, seq]) => update(id, seq)));
          return { updates, others: this.others };
        } finally {
          this.open--;
        }
      },
      () => this.hidden
    );
  }

  get waits(): number[] {
    return this.times.slice(1).map((time, index) => time - (this.times[index] ?? 0));
  }
}

const refused = (status: number, headers: Record<string, string> = {}) => async (): Promise<Update[]> => {
  throw await errorOf(Response.json({ code: 'no', message: 'No', hint: '' }, { status, headers }));
};
const some = (most: number) => (after: [string, number][]) => after.map(([id, seq]) => update(id, seq, most));

/** Enough time for every wait. */
const later = async (): Promise<void> => void (await vi.advanceTimersByTimeAsync(600_000));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the events of builds', () => {
  it('are requested for all builds of the window by one request at a time', async () => {
    const readers = Array.from({ length: 10 }, () => new Reader());
    const server = new Answers(some(3), some(0), some(5));
    readers.forEach((reader, number) => server.updates.follow(`${number}`.repeat(16), reader));
    await later();
    expect(server.mostOpen).toBe(1);
    expect(server.asked.map(asked => Object.keys(asked).length)).toEqual([10, 10, 10, 10]);
    expect(readers.map(({ got }) => got)).toEqual(readers.map(() => LITTLE_BUILD));
  });

  it('are requested until their build has ended, and not after that', async () => {
    const reader = new Reader();
    const server = new Answers(some(4), some(0));
    server.updates.follow(ONE, reader);
    await later();
    expect(server.asked).toEqual([{ [ONE]: 0 }, { [ONE]: 4 }, { [ONE]: 4 }]);
    expect(reader.got).toEqual(LITTLE_BUILD);
    expect(reader.builds.at(-1)?.state).toBe('finished');
  });

  it('are requested again for a build that is followed later', async () => {
    const [first, second] = [new Reader(), new Reader()];
    const server = new Answers();
    server.updates.follow(ONE, first);
    await later();
    server.updates.follow(OTHER, second);
    await later();
    expect(server.asked).toEqual([{ [ONE]: 0 }, { [OTHER]: 0 }]);
    expect(second.got).toEqual(LITTLE_BUILD);
  });

  it('of a new build do not wait for the time of the next request', async () => {
    const server = new Answers(some(1), some(1));
    server.hidden = true;
    server.updates.follow(ONE, new Reader());
    await vi.advanceTimersByTimeAsync(100);
    server.updates.follow(OTHER, new Reader());
    await vi.advanceTimersByTimeAsync(100);
    expect(server.asked).toHaveLength(2);
  });

  it('that the server has already are requested at once', async () => {
    const server = new Answers(after => after.map(([id, seq]) => ({ ...update(id, seq, 2), state: 'more' as const })), some(1));
    server.updates.follow(ONE, new Reader());
    await later();
    expect(server.waits[0]).toBeLessThan(100);
    expect(server.waits[1]).toBe(500);
  });

  it('are requested less often while the page is hidden, and at once when it is visible again', async () => {
    const server = new Answers(some(1), some(1), some(1), some(1));
    server.hidden = true;
    server.updates.follow(ONE, new Reader());
    await vi.advanceTimersByTimeAsync(5001);
    expect(server.waits).toEqual([5000]);
    server.hidden = false;
    server.updates.wake();
    await later();
    expect(server.waits.slice(1)).toEqual([1, 500, 500]);
  });

  it('come with the builds of other windows', async () => {
    const [one, two] = [new Reader(), new Reader()];
    const server = new Answers();
    server.others = [aBuild({ id: '3'.repeat(16), state: 'running' })];
    server.updates.follow(ONE, one);
    server.updates.follow(OTHER, two);
    await later();
    expect([...one.found, ...two.found]).toEqual(server.others);
  });

  it('end for a build that was deleted on the server, and continue for the others', async () => {
    const [deleted, other] = [new Reader(), new Reader()];
    const server = new Answers(([, second]) => [
      { id: ONE, state: 'gone', build: null, events: [] },
      update(...(second ?? ['', 0]), 2)
    ]);
    server.updates.follow(ONE, deleted);
    server.updates.follow(OTHER, other);
    await later();
    expect([deleted.gone, other.gone]).toEqual([true, false]);
    expect(server.asked[1]).toEqual({ [OTHER]: 2 });
    expect(other.got).toEqual(LITTLE_BUILD);
  });

  it.each([
    ['denied', 401],
    ['denied', 403],
    ['busy', 429],
    // The route is missing, or the user's server in a JupyterHub is not running.
    ['lost', 404],
    ['lost', 424],
    ['lost', 503]
  ] as const)('are asked for again where the request is %s (%i), after the last event', async (connection, status) => {
    const reader = new Reader();
    const no = refused(status);
    const server = new Answers(some(4), no, no, no);
    server.updates.follow(ONE, reader);
    await later();
    expect(server.asked.map(({ [ONE]: seq }) => seq)).toEqual([0, 4, 4, 4, 4]);
    expect(reader.got).toEqual(LITTLE_BUILD);
    expect(reader.connections).toEqual(['open', connection, 'open']);
  });

  it.each([
    ['the network', () => Promise.reject(new TypeError('network'))],
    ['the login page of a proxy', async () => JSON.parse('<html>') as Update[]]
  ])('are asked for again after %s', async (_, answer) => {
    const reader = new Reader();
    const server = new Answers(answer);
    server.updates.follow(ONE, reader);
    await later();
    expect(reader.connections).toEqual(['lost', 'open']);
    expect(reader.got).toEqual(LITTLE_BUILD);
  });

  it('are asked for again if the server does not answer', async () => {
    const reader = new Reader();
    let signal: AbortSignal | undefined;
    let asked = 0;
    const updates = new Updates(
      (after, given) => {
        signal ??= given;
        return asked++
          ? Promise.resolve({ updates: [...after].map(([id, seq]) => update(id, seq)), others: [] })
          : new Promise((_, reject) => given.addEventListener('abort', () => reject(new Error('aborted'))));
      },
      () => false
    );
    updates.follow(ONE, reader);
    await later();
    expect(signal?.aborted).toBe(true);
    expect(reader.connections).toEqual(['lost', 'open']);
  });

  it('are requested with growing waits of at most 15 seconds while they are refused', async () => {
    const server = new Answers(...Array.from({ length: 9 }, () => refused(403)));
    server.updates.follow(ONE, new Reader());
    await later();
    expect(server.waits.map(wait => Math.floor(wait / 1000))).toEqual([1, 2, 4, 8, 15, 15, 15, 15, 15]);
  });

  it.each([
    ['30', 30],
    [new Date(Date.UTC(2030, 0, 1, 0, 0, 41)).toUTCString(), 40],
    ['100000', 300],
    ['soon', 1],
    ['-5', 1]
  ])('wait for the time of Retry-After, within limits: %s', async (text, seconds) => {
    vi.setSystemTime(Date.UTC(2030, 0, 1, 0, 0, 0, 500));
    const server = new Answers(refused(429, { 'Retry-After': text }));
    server.updates.follow(ONE, new Reader());
    await later();
    expect(Math.floor((server.waits[0] ?? 0) / 1000)).toBe(seconds);
  });

  it('are not reported after the window stopped following, although the server answers', async () => {
    const reader = new Reader();
    let answer: (updates: Update[]) => void = () => undefined;
    const server = new Answers(() => new Promise(resolve => (answer = resolve)));
    const stop = server.updates.follow(ONE, reader);
    await vi.advanceTimersByTimeAsync(1);
    stop();
    answer([update(ONE, 0)]);
    await later();
    expect([reader.got, reader.builds, server.asked.length]).toEqual([[], [], 1]);
  });
});

/** Web Locks of one browser, as far as `Turns` uses them. */
class Locks {
  private readonly queues = new Map<string, Promise<unknown>>();

  request = (name: string, { signal }: LockOptions, work: (lock: Lock) => Promise<unknown>): Promise<unknown> => {
    const before = this.queues.get(name) ?? Promise.resolve();
    const turn = before
      .catch(() => undefined)
      .then(() => {
        signal?.throwIfAborted();
        return work({ name, mode: 'exclusive' });
      });
    this.queues.set(name, turn);
    return turn;
  };
}

describe('requests that take long', () => {
  /** Ten requests in each of some windows; returns the highest number of them at any time. */
  async function most(windows: Turns[]): Promise<number> {
    let [open, highest, sent] = [0, 0, 0];
    const work = async (): Promise<void> => {
      sent++;
      highest = Math.max(highest, ++open);
      await new Promise(resolve => setTimeout(resolve, 1000));
      open--;
    };
    const all = windows.flatMap(turns => Array.from({ length: 10 }, () => turns.take(work)));
    await later();
    await Promise.all(all);
    expect(sent).toBe(all.length);
    return highest;
  }

  it('are two at a time for all windows of the browser', async () => {
    const locks = new Locks() as unknown as LockManager;
    expect(await most([new Turns(locks), new Turns(locks), new Turns(locks)])).toBe(2);
  });

  it('are one at a time in a window without Web Locks', async () => {
    expect(await most([new Turns(null)])).toBe(1);
  });

  it.each([
    ['with', new Locks() as unknown as LockManager],
    ['without', null]
  ])('give their turn to the next one when they fail, %s Web Locks', async (_, locks) => {
    const turns = new Turns(locks);
    const failed = [1, 2, 3].map(number => turns.take(() => Promise.reject(new Error(`${number}`))));
    expect(await Promise.allSettled(failed)).toMatchObject([1, 2, 3].map(number => ({ reason: { message: `${number}` } })));
    expect(await turns.take(async () => 'next')).toBe('next');
  });

  it('leave a slot to the environments while a registry does not answer', async () => {
    const locks = new Locks() as unknown as LockManager;
    let answer = (): void => undefined;
    const answered = new Promise<void>(resolve => (answer = resolve));
    const questions = [1, 2, 3].map(() => new Turns(locks, LAST_SLOT).take(() => answered));
    await later();
    expect(await most([new Turns(locks)])).toBe(1);
    answer();
    await Promise.all(questions);
  });

  it.each([
    ['with', (): LockManager => new Locks() as unknown as LockManager],
    ['without', () => null]
  ])('are not sent if they are aborted before their turn, %s Web Locks', async (_, locks) => {
    const turns = new Turns(locks(), LAST_SLOT);
    const abort = new AbortController();
    let sent = false;
    const first = turns.take(() => new Promise<void>(resolve => setTimeout(resolve, 1000)));
    const second = turns.take(async () => void (sent = true), abort.signal).catch((error: Error) => error.name);
    abort.abort();
    await later();
    await first;
    expect([await second, sent]).toEqual(['AbortError', false]);
  });
});
