import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import { visible, visibleLines } from '../src/model/visible';
import { faultTexts, requestName } from '../src/views/words';

describe('a text from outside', () => {
  it('has no character that reorders or hides others', () => {
    expect(visible('report-\u202egnp.exe')).toBe('report-\ufffdgnp.exe');
    expect(visible('a\u2066b\u2069\u200bc\u2028d\u0007\n')).toBe('a\ufffdb\ufffd\ufffdc\ufffdd\ufffd\ufffd');
    expect(visibleLines('a\u202e\nb')).toBe('a\ufffd\nb');
  });

  it('is not changed in any script', () => {
    for (const text of ['numpy 1.26', 'données/été.csv', '数据/表.csv', 'ملف.csv', 'שלום', '🙂 x']) {
      expect(visible(text)).toBe(text);
    }
  });

  it('is safe in names of images and in messages', () => {
    const trans = nullTranslator.load('jupyterlab');
    expect(requestName({ archive: 'a\u202eb.tar' })).toBe('a\ufffdb.tar');
    const texts = faultTexts(trans, { code: 'x', message: 'No file: a\u202eb', hint: 'Look at \u202e.' });
    expect(texts).toEqual({ title: 'No file:', details: 'a\ufffdb', hint: 'Look at \ufffd.' });
  });
});
