/** The lines of a log that hold some words, found a stretch at a time: a page that is searched stays in hand. */

import { Lines, type LogLine } from './lines';

/** Lines between two looks at the clock. */
const STRIDE = 500;

export class Search {
  private known = Lines.NONE;
  private seen = 0;
  private readonly wanted: string;

  constructor(words: string) {
    this.wanted = words.toLowerCase();
  }

  /** What is found so far. */
  get found(): Lines {
    return this.known;
  }

  /** Look on for so many milliseconds; whether all of the lines are seen. What is added to them later is looked at then. */
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
