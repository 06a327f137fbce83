import { describe, expect, it } from 'vitest';

import { Lines, type LogLine } from '../src/model/lines';
import { Search } from '../src/model/search';

const line = (text: string): LogLine => ({ time: 0, kind: 'log', label: '', text });
const many = (count: number): LogLine[] => Array.from({ length: count }, (_, n) => line(`Line ${n}`));

describe('a search', () => {
  it('finds lines by their text or label, in either case', () => {
    const lines = Lines.NONE.with([...many(20), { ...line('numpy'), label: 'built' }]);
    const found = (words: string): string[] => {
      const search = new Search(words);
      expect(search.advance(lines, 1000)).toBe(true);
      return search.found.slice().map(({ text }) => text);
    };
    expect(found('LINE 1')).toEqual(['Line 1', ...Array.from({ length: 10 }, (_, n) => `Line 1${n}`)]);
    expect(found('Built')).toEqual(['numpy']);
    expect(found('nothing')).toEqual([]);
  });

  it('gives the same result in many short parts', () => {
    const lines = Lines.NONE.with(many(5000));
    const search = new Search('line');
    let steps = 1;
    while (!search.advance(lines, 0)) {
      expect(search.found.length).toBeLessThan(5000);
      steps++;
    }
    expect(steps).toBe(10);
    expect(search.found).toHaveLength(5000);
  });

  it('searches only new lines', () => {
    const search = new Search('line');
    const first = Lines.NONE.with(many(3));
    search.advance(first, 1000);
    const before = search.found;
    search.advance(first.with([line('a line more'), line('another')]), 1000);
    expect(search.found).toHaveLength(4);
    expect(before).toHaveLength(3);
  });
});
