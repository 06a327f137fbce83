/** Turns for requests: they never take all connections of the browser. */

/** The number of long requests at a time, for all windows of the browser together. */
const SLOTS = ['jupyter-condabuild:1', 'jupyter-condabuild:2'];

/**
 * Runs requests in turn. Long requests: at most two at a time, for all windows of the browser together. A browser opens
 * six connections to a server, and JupyterLab needs them. The windows share Web Locks. The browser releases the lock of a
 * window that is closed or killed. Without Web Locks, each window runs one request at a time: a page that came by HTTP from
 * another machine has none.
 * Source: https://developer.mozilla.org/en-US/docs/Web/API/Web_Locks_API
 */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly locks: LockManager | null = globalThis.navigator?.locks ?? null) {}

  /** Run work when it is its turn. Work that was aborted before its turn does not run. */
  take<Answer>(work: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    if (this.locks) {
      return this.inSlot(this.locks, work, signal);
    }
    const turn = this.last.then(() => {
      signal?.throwIfAborted();
      return work();
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }

  private async inSlot<Answer>(locks: LockManager, work: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    for (const name of SLOTS) {
      const done = await locks.request(name, { ifAvailable: true }, async lock => lock && { answer: await work() });
      if (done) {
        return done.answer;
      }
    }
    const name = SLOTS[Math.floor(Math.random() * SLOTS.length)] ?? '';
    return locks.request(name, signal ? { signal } : {}, work);
  }
}
