/** The lines of a log: a value that never changes, and yet grows without being copied. */

export interface LogLine {
  time: number;
  kind: 'log' | 'error' | 'phase' | 'layer' | 'warning' | 'end';
  /** What stands before the text: a phase, a layer's state, a warning's code. */
  label: string;
  text: string;
}

/** The first `length` lines of a buffer that later values share: a copy for each batch of a long log is too much. */
export class Lines {
  static readonly NONE = new Lines([], 0);

  private constructor(
    private readonly buffer: LogLine[],
    readonly length: number
  ) {}

  /** These lines and some more. */
  with(more: readonly LogLine[]): Lines {
    if (!more.length) {
      return this;
    }
    // Someone else went on from here: then the ways part. The empty one is everyone's.
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
