/** Turns for requests: they never take all connections of the browser. */

/** The number of long requests at a time, for all windows of the browser together. */
const SLOTS = ['jupyter-condabuild:1', 'jupyter-condabuild:2'];

/** The slots of requests that can wait: a registry that does not answer leaves the other slot to the environments. */
export const LAST_SLOT = SLOTS.slice(-1);

/**
 * Runs requests in turn. Long requests: at most two at a time, for all windows of the browser together. A browser opens
 * six connections to a server, and JupyterLab needs them. The windows share Web Locks. The browser releases the lock of a
 * window that is closed or killed. Without Web Locks, each window takes these requests one by one: a page that came by HTTP
 * from another machine has none.
 * Source: https://developer.mozilla.org/en-US/docs/Web/API/Web_Locks_API
 */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly locks: LockManager | null = globalThis.navigator?.locks ?? null,
    private readonly slots = SLOTS
  ) {}

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

  /** Wait for all slots, run work in the first one that is free, and leave the queues of the others. */
  private inSlot<Answer>(locks: LockManager, work: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const waiting = new AbortController();
      const abort = (): void => waiting.abort(signal?.reason);
      let runs = false;
      const run = async (): Promise<void> => {
        if (runs) {
          return;
        }
        if (waiting.signal.aborted) {
          reject(waiting.signal.reason);
          return;
        }
        runs = true;
        signal?.removeEventListener('abort', abort);
        waiting.abort();
        await work().then(resolve, reject);
      };
      signal?.addEventListener('abort', abort);
      if (signal?.aborted) {
        abort();
      }
      for (const name of this.slots) {
        // After the work has begun, this rejection has no effect.
        locks.request(name, { signal: waiting.signal }, run).catch((error: unknown) => runs || reject(error));
      }
    });
  }
}
