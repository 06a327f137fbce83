/** A search in a log, a few milliseconds at a time, so that the page stays responsive. */

import { Lines, type LogLine } from './lines';

/** The number of lines that are searched between two readings of the clock. */
const STRIDE = 500;

export class Search {
  private known = Lines.NONE;
  private seen = 0;
  private readonly wanted: string;

  constructor(words: string) {
    this.wanted = words.toLowerCase();
  }

  /** The lines that are found so far. */
  get found(): Lines {
    return this.known;
  }

  /** Search for some milliseconds; returns whether all lines are searched. Lines that are added later need another call. */
  advance(lines: Lines, milliseconds: number): boolean {
    const end = performance.now() + milliseconds;
    while (this.seen < lines.length) {
      const next = lines.slice(this.seen, this.seen + STRIDE);
      this.known = this.known.with(next.filter(line => this.holds(line)));
      this.seen += next.length;
      if (performance.now() >= end) {
        break;
      }
    }
    return this.seen >= lines.length;
  }

  private holds(line: LogLine): boolean {
    return line.text.toLowerCase().includes(this.wanted) || line.label.includes(this.wanted);
  }
}
