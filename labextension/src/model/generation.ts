/** Late answers: how the model tells the answer that counts from one that something newer has overtaken. */

/** A counter that moves on whenever the answers under way stop to count. */
export class Generation {
  private count = 0;

  /** Begin the next generation; the result tells whether it still lasts. */
  next(): () => boolean {
    this.count++;
    return this.current();
  }

  /** A function that tells whether the generation of now still lasts. */
  current(): () => boolean {
    const count = this.count;
    return () => count === this.count;
  }
}
