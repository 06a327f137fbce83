/** Distinguishes the answer to the latest request from late answers to earlier requests. */

/** A counter that advances when the answers to earlier requests become obsolete. */
export class Generation {
  private count = 0;

  /** Begin a new generation; returns a function that tells whether it is still the latest. */
  next(): () => boolean {
    this.count++;
    return this.current();
  }

  /** Returns a function that tells whether the current generation is still the latest. */
  current(): () => boolean {
    const count = this.count;
    return () => count === this.count;
  }
}
