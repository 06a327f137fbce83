/** Tells the answer to the latest question from late answers to earlier questions. */

/** A counter that advances whenever the answers that are still awaited become obsolete. */
export class Generation {
  private count = 0;

  /** Begin a new generation; the result tells whether it is still the latest. */
  next(): () => boolean {
    this.count++;
    return this.current();
  }

  /** A function that tells whether the generation of this moment is still the latest. */
  current(): () => boolean {
    const count = this.count;
    return () => count === this.count;
  }
}
