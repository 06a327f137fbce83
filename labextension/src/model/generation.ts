/** Distinguishes the answer to the latest request from late answers to earlier requests. */

/** A counter that advances when the answers to earlier requests become obsolete. */
export class Generation {
  private count = 0;
  private abort = new AbortController();

  /** Begin a new generation; returns a function that tells whether it is still the latest. */
  next(): () => boolean {
    this.count++;
    this.abort.abort();
    this.abort = new AbortController();
    return this.current();
  }

  /** Aborts a request of the current generation when a new one begins: its answer would hold a connection for nothing. */
  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** Returns a function that tells whether the current generation is still the latest. */
  current(): () => boolean {
    const count = this.count;
    return () => count === this.count;
  }
}
