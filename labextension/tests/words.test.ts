import type { TranslationBundle } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import type { Build } from '../src/api/contract';
import { versions } from '../src/model/changes';
import { looksLikeReference, namesRegistry, suggestedReference } from '../src/model/destination';
import { failureLine, plain, withoutSecrets } from '../src/model/report';
import { heaviest } from '../src/model/smaller';
import { partTexts, secondsText, shortDigest, sizeText } from '../src/model/units';
import { faultText, faultTexts, proofText, shareNote, shareTitle } from '../src/views/words';
import { NO_EVENTS, withEvents } from '../src/model/build';
import type { TagStyle } from '../src/model/state';
import { LITTLE_BUILD, log, numbered } from './events';
import { aBuild, RESULT } from './things';

describe('sizes and times', () => {
  it('have the same form as on the command line', () => {
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
  const [one, other] = [`sha256:${'ab12'.repeat(16)}`, `sha256:${'cd34'.repeat(16)}`];
  const now = new Date(2026, 10, 24, 23, 59);
  const pushed = (tag: string, identity: string, change: Partial<Build> = {}): Build => {
    const reference = `registry.lab.org/team/sci:${tag}`;
    const request = { ...aBuild().request, reference, identity };
    return aBuild({ state: 'finished', request, result: { ...RESULT, reference }, ...change });
  };
  const tag = (style: TagStyle, identity: string, ...builds: Build[]): string | undefined =>
    suggestedReference('registry.lab.org/team', { name: 'sci', identity }, builds, style, now).split(':').pop();

  it('is suggested from the name of the environment', () => {
    const suggested = (registry: string, name: string): string =>
      suggestedReference(registry, { name, identity: one }, [], 'date', now);
    expect(suggested('registry.lab.org/team/', 'My Env (3.11)')).toBe('registry.lab.org/team/my-env-3-11:2026-11-24');
    expect(suggested('', '环境')).toBe('environment:2026-11-24');
  });

  it('has the date, a version or the digest of the contents as its tag', () => {
    expect(tag('date', one)).toBe('2026-11-24');
    expect(tag('version', one)).toBe('v1');
    expect(tag('digest', one)).toBe('ab12ab12ab12');
  });

  it('is another one for other contents, and the same for the same contents', () => {
    expect(tag('date', other, pushed('2026-11-24', one))).toBe('2026-11-24.2');
    expect(tag('date', other, pushed('2026-11-24.2', 'sha256:x'), pushed('2026-11-24', one))).toBe('2026-11-24.3');
    expect(tag('date', one, pushed('2026-11-24.2', other), pushed('2026-11-20', one))).toBe('2026-11-20');
    expect(tag('version', other, pushed('v2', one), pushed('v9', 'sha256:x'), pushed('latest', 'sha256:y'))).toBe('v10');
    expect(tag('version', one, pushed('v2', one), pushed('v9', other))).toBe('v2');
    expect(tag('version', one, pushed('mine', one))).toBe('v1');
  });

  it('avoids the tags of builds that run or wait, and not those of builds that made no image', () => {
    expect(tag('version', other, pushed('v1', one, { state: 'queued', result: null }))).toBe('v2');
    expect(tag('version', other, pushed('v1', one, { state: 'failed', result: null }))).toBe('v1');
    expect(tag('version', other, pushed('v1', one, { command: 'verify' }))).toBe('v1');
  });

  it('is not the tag of contents that were replaced under this tag', () => {
    expect(tag('version', one, pushed('v1', other), pushed('v1', one))).toBe('v2');
  });

  it('is checked', () => {
    for (const good of ['sci', 'sci:1', 'localhost:5000/a/b:x', 'registry.lab.org/team/a__b:2026-11-24', 'a/b', 'r.org/' + 'x'.repeat(255) + ':1']) {
      expect(looksLikeReference(good), good).toBe(true);
    }
    for (const bad of ['', 'Sci', 'a b', 'x:', '<img src=x>', 'a//b', 'a:' + 'x'.repeat(129), 'r.org/' + 'x'.repeat(256), 'r.org:5000/x/' + 'x'.repeat(254) + ':1']) {
      expect(looksLikeReference(bad), bad).toBe(false);
    }
    expect(['sci:1', 'team/sci', 'localhost/sci', 'r.org/sci'].map(namesRegistry)).toEqual([false, false, true, true]);
  });
});

describe('a changed version', () => {
  it('is displayed as versions, or as builds of the same version', () => {
    const change = (before: string, after: string, manager: 'conda' | 'pip' = 'conda'): string[] =>
      versions({ name: 'x', manager, kind: 'changed', before, after });
    expect(change('2.3-py311_0', '2.4-py311_0')).toEqual(['2.3', '2.4']);
    expect(change('2.3-py311_0', '2.3-py311_1')).toEqual(['2.3-py311_0', '2.3-py311_1']);
    expect(change('', '1.0-0')).toEqual(['', '1.0']);
    expect(change('3.0-beta', '3.0', 'pip')).toEqual(['3.0-beta', '3.0']);
  });
});

describe('the advice for a smaller image', () => {
  it('names the largest packages, and lighter packages that can replace them', () => {
    const layers = [
      { packages: ['a-1-0', 'b-1-0'], size: 900 },
      { packages: ['pytorch-2.9-cuda129_0'], size: 800 },
      { packages: ['matplotlib-3.10-py311_0'], size: 500 },
      { packages: ['gcc_impl_linux-64-15.1-0'], size: 400 },
      { packages: ['scipy-1.17-py311_0'], size: 300 },
      { packages: ['constructor-3-0'], size: 200 },
      { packages: ['little-1-0'], size: 1 }
    ];
    expect(heaviest(layers).map(({ name, advice }) => [name, advice])).toEqual([
      ['pytorch', { kind: 'cpu' }],
      ['matplotlib', { kind: 'lighter', instead: 'matplotlib-base' }],
      ['gcc_impl_linux-64', { kind: 'compiler' }],
      ['scipy', null],
      ['constructor', null]
    ]);
  });
});

describe('a message of the server', () => {
  const english = { _p: (_: string, text: string) => text } as unknown as TranslationBundle;
  const other = { _p: (_: string, text: string) => `<${text}>` } as unknown as TranslationBundle;
  const local = {
    code: 'local-channel',
    message: 'The environment has 2 conda packages from a channel on this machine: a, b: c.',
    hint: 'Other users cannot install from the lock file. Upload the packages to a channel that they can reach.'
  };

  it('is displayed unchanged in English', () => {
    expect(faultTexts(english, local)).toEqual({
      title: 'The environment has 2 conda packages from a channel on this machine:',
      details: 'a, b: c.',
      hint: local.hint
    });
    expect(faultText(english, local)).toBe(local.message);
  });

  it('is translated by its code in another language, with the names of the server', () => {
    expect(faultTexts(other, local)).toEqual({
      title: '<Packages come from a channel on this machine>',
      details: 'a, b: c.',
      hint: `<${local.hint}>`
    });
    const denied = { code: 'registry_denied', message: 'r.org/x: denied', hint: 'Ask Ada.' };
    expect(faultTexts(other, denied)).toEqual({
      title: '<The registry denied access>',
      details: 'r.org/x: denied',
      hint: 'Ask Ada.'
    });
  });

  it('is displayed unchanged if the code is unknown', () => {
    for (const code of ['new_code', 'constructor', '__proto__']) {
      expect(faultTexts(other, { code, message: 'Oh', hint: '100 %1' })).toEqual({ title: 'Oh', details: '', hint: '100 %1' });
    }
  });
});

describe('a report', () => {
  it('contains no secrets and no colours', () => {
    expect(withoutSecrets('https://ada:s3cret@c.org/t/tk-123/noarch')).toBe('https://***@c.org/t/***/noarch');
    expect(withoutSecrets('Authorization: Bearer abcdefgh.ijkl')).not.toContain('abcdefgh');
    expect(withoutSecrets('API_TOKEN=abc password: "x y"')).toBe('API_TOKEN=*** password: ***');
    expect(plain('\u001b[31mred\u001b[0m')).toBe('red');
  });

  it('finds the important line: the last line of standard error, or else the last line with text', () => {
    const line = (events: Parameters<typeof numbered>[0]): string | undefined =>
      failureLine(withEvents(NO_EVENTS, numbered(events)))?.text;
    const wrong = { type: 'log' as const, text: 'no such file', stream: 'stderr' as const };
    const failed = { type: 'failed' as const, code: 'x', message: 'It failed', hint: '' };
    expect(line([log('one'), wrong, log('two'), failed])).toBe('no such file');
    expect(line([log('one'), log(' '), failed])).toBe('one');
    expect(line([failed])).toBeUndefined();
    expect(failureLine(withEvents(NO_EVENTS, LITTLE_BUILD))?.text).toBe('done');
  });
});

describe('the words for a verification', () => {
  const fill = (text: string, ...values: (string | number)[]): string =>
    text.replace(/%(\d)/g, (_, n: string) => String(values[Number(n) - 1]));
  const english = {
    __: fill,
    _n: (one: string, many: string, n: number) => fill(n === 1 ? one : many, n)
  } as unknown as TranslationBundle;
  const proof = { text: '', packages: 108, patched: [], pip: [], files: 0, other: 0 };

  it('name what is proved and what nothing proves', () => {
    const unproved = { ...proof, patched: ['pandas'], pip: ['mylib'], files: 2 };
    expect(proofText(english, unproved)).toBe('108 packages proved; pandas patched, 2 foreign files, 1 pip package not provable');
  });

  it('say that everything is proved only if it is', () => {
    expect(proofText(english, proof)).toBe('108 packages proved, and everything else in the image, too');
    expect(proofText(english, { ...proof, other: 1 })).toBe('108 packages proved; 1 other part not provable');
    expect(proofText(english, null)).toBe('');
  });
});

describe('the texts about commands that use an image', () => {
  const chinese: Record<string, string> = {
    'Run %1 with %2': '用 %2 运行 %1',
    'the image': '镜像',
    'Only this machine can connect to it.': '只有本机可以连接。'
  };
  const trans = {
    __: (text: string, ...values: string[]) => values.reduce((done, value, index) => done.replace(`%${index + 1}`, value), chinese[text] ?? text),
    _p: (_: string, text: string) => chinese[text] ?? text
  } as unknown as TranslationBundle;

  it('are translated by program, tool and sentence', () => {
    expect(shareTitle(trans, 'Run JupyterLab with Docker')).toBe('用 Docker 运行 JupyterLab');
    expect(shareTitle(trans, 'Run the image with Podman')).toBe('用 Podman 运行 镜像');
    expect(shareNote(trans, 'A new note. Only this machine can connect to it.')).toBe('A new note. 只有本机可以连接。');
  });
});
