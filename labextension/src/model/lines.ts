/** The lines of a log: an immutable list to which lines are added without a copy. */

export interface LogLine {
  time: number;
  kind: 'log' | 'error' | 'phase' | 'layer' | 'warning' | 'end';
  /** The text before the line: a phase, the state of a layer, or the kind of the line. */
  label: string;
  text: string;
}

/** The first `length` lines of a buffer that longer lists share. A copy for each batch of lines would be slow. */
export class Lines {
  static readonly NONE = new Lines([], 0);

  private constructor(
    private readonly buffer: LogLine[],
    readonly length: number
  ) {}

  /** Returns a list of these lines and more lines. */
  with(more: readonly LogLine[]): Lines {
    if (!more.length) {
      return this;
    }
    // The buffer is copied if another list has added lines to it. It is also copied for the empty list, which all lists share.
    const own = this.length > 0 && this.buffer.length === this.length ? this.buffer : this.slice();
    for (const line of more) {
      own.push(line);
    }
    return new Lines(own, own.length);
  }

  slice(from = 0, to = this.length): LogLine[] {
    const begin = from < 0 ? Math.max(0, this.length + from) : from;
    return this.buffer.slice(begin, Math.min(to, this.length));
  }
}
