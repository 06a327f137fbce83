import { describe, expect, it } from 'vitest';

import { changes, explicitPackages } from '../src/model/compare';
import { looksLikeReference, namesRegistry, suggested } from '../src/model/destination';
import { plain, withoutSecrets } from '../src/model/report';
import { partTexts, secondsText, shortDigest, sizeText } from '../src/model/units';

describe('sizes and times', () => {
  it('read as on the command line', () => {
    expect([0, 999, 1000, 1_900_000, 9_949_999, 9_950_000, 999_600_000].map(sizeText)).toEqual([
      '0 B',
      '999 B',
      '1.0 kB',
      '1.9 MB',
      '9.9 MB',
      '10 MB',
      '1.0 GB'
    ]);
    expect([0, 0.38, 9.96, 59.6, 125, 3600, 3780].map(secondsText)).toEqual([
      '0.0 s',
      '0.4 s',
      '10 s',
      '1 min',
      '2 min 5 s',
      '1 h',
      '1 h 3 min'
    ]);
    expect(partTexts(120_000_000, 197_000_000)).toEqual(['120', '197 MB']);
    expect(shortDigest(`sha256:${'4be1c07a'.repeat(8)}`)).toBe('sha256:4be1c07a…c07a');
  });
});

describe('the name of an image', () => {
  it('is suggested from the environment and its lock file', () => {
    const digest = `sha256:${'ab12'.repeat(16)}`;
    expect(suggested('registry.lab.org/team/', 'My Env (3.11)', digest)).toBe(
      'registry.lab.org/team/my-env-3-11:ab12ab12ab12'
    );
    expect(suggested('', '环境', digest)).toBe('environment:ab12ab12ab12');
  });

  it('has a form', () => {
    for (const good of ['sci', 'sci:1', 'localhost:5000/a/b:x', 'registry.lab.org/team/a__b:2026-11-24', 'a/b']) {
      expect(looksLikeReference(good), good).toBe(true);
    }
    for (const bad of ['', 'Sci', 'a b', 'x:', '<img src=x>', 'a//b', 'a:' + 'x'.repeat(129)]) {
      expect(looksLikeReference(bad), bad).toBe(false);
    }
    expect(['sci:1', 'team/sci', 'localhost/sci', 'r.org/sci'].map(namesRegistry)).toEqual([false, false, true, true]);
  });
});

describe('two sets of packages', () => {
  it('differ in what was added, removed and changed', () => {
    const before = explicitPackages(
      '@EXPLICIT\nhttps://c.org/linux-64/numpy-2.3-py311_0.conda#ab\nhttps://c.org/noarch/scikit-learn-1.7-0.tar.bz2\n# pip: Flask==3.0 --hash=x\n'
    );
    expect(before.map(each => `${each.name} ${each.version}`)).toEqual(['numpy 2.3', 'scikit-learn 1.7', 'Flask 3.0']);
    const now = explicitPackages('https://c.org/linux-64/numpy-2.4-py311_0.conda\nhttps://c.org/noarch/new-1-0.conda');
    expect(changes(before, now)).toEqual([
      { name: 'Flask', before: '3.0', after: null },
      { name: 'new', before: null, after: '1' },
      { name: 'numpy', before: '2.3', after: '2.4' },
      { name: 'scikit-learn', before: '1.7', after: null }
    ]);
  });
});

describe('a report', () => {
  it('holds no secrets and no colours', () => {
    expect(withoutSecrets('https://ada:s3cret@c.org/t/tk-123/noarch')).toBe('https://***@c.org/t/***/noarch');
    expect(withoutSecrets('Authorization: Bearer abcdefgh.ijkl')).not.toContain('abcdefgh');
    expect(withoutSecrets('API_TOKEN=abc password: "x y"')).toBe('API_TOKEN=*** password: ***');
    expect(plain('\u001b[31mred\u001b[0m')).toBe('red');
  });
});
