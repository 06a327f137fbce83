import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { KNOWN_FAULTS } from '../src/model/faults';
import { knownReason, REASONS } from '../src/model/reasons';
import { runTitle, SHARE_TEXTS } from '../src/model/shareTexts';

const SOURCES = join(import.meta.dirname, '../src');
const CATALOGUE = join(
  import.meta.dirname,
  '../../jupyter_condabuild/locale/zh_CN/LC_MESSAGES/jupyter_condabuild.json'
);

function used(call: string): Set<string> {
  const text = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
    .filter(name => /\.tsx?$/.test(name))
    .map(name => readFileSync(join(SOURCES, name), 'utf8'))
    .join('\n');
  return new Set([...text.matchAll(new RegExp(String.raw`trans\s*\.${call}\(\s*'((?:[^'\\]|\\.)*)'`, 'g'))].map(found => found[1] ?? ''));
}

/** The texts of the settings' schema, with their gettext contexts. */
function schemaWords(value: unknown): string[] {
  return Object.entries(value ?? {}).flatMap(([key, member]: [string, unknown]) => {
    const read = ['title', 'description', 'jupyter.lab.setting-icon-label'].includes(key);
    return typeof member === 'string' ? (read ? [`schema\u0004${member}`] : []) : schemaWords(member);
  });
}

const SCHEMA = JSON.parse(readFileSync(join(import.meta.dirname, '../schema/plugin.json'), 'utf8')) as unknown;
const SHARE = SHARE_TEXTS.map(text => `share\u0004${text}`);
const REASON = REASONS.map(text => `reason\u0004${text}`);
const SERVER = [...KNOWN_FAULTS.values()].flatMap(({ title, hint, here }) =>
  [title, hint, here ?? '']
    .filter(Boolean)
    .map(text => `server\u0004${text}`)
);

const catalogue = JSON.parse(readFileSync(CATALOGUE, 'utf8')) as Record<string, string[]>;
const translated = Object.keys(catalogue).filter(key => key);

describe('the Chinese translation', () => {
  it('has every string of the panel, its settings and the known faults, and no other', () => {
    const all = new Set([...used('_[_n]'), ...SERVER, ...SHARE, ...REASON, ...schemaWords(SCHEMA)]);
    expect(translated.sort()).toEqual([...all].sort());
  });

  it('has the language code that JupyterLab uses', () => {
    expect(catalogue['']).toMatchObject({ language: 'zh-CN', plural_forms: 'nplurals=1; plural=0;' });
  });

  it('has two forms for each plural: JupyterLab ignores others', () => {
    const forms = translated.filter(text => catalogue[text]?.length === 2);
    expect(forms.sort()).toEqual([...used('_n')].sort());
  });

  it('has the same placeholders', () => {
    const places = (text: string): string[] => (text.match(/%\d/g) ?? []).sort();
    for (const text of translated) {
      expect(places(catalogue[text]?.[0] ?? ''), text).toEqual(places(text));
    }
  });
});

describe('the texts about commands that use an image', () => {
  const source = readFileSync(join(import.meta.dirname, '../../jupyter_condabuild/distribution/run_commands.py'), 'utf8');

  it('are those of the server', () => {
    const server = source.replaceAll('{WORK}', '/work');
    for (const text of SHARE_TEXTS) {
      expect(server).toContain(text);
    }
  });

  it('are all of the server', () => {
    const titles = [...source.matchAll(/^ {8}f?"([A-Z][^"]*[a-z.])",$/gm), ...source.matchAll(/^_\w+ = f?"([A-Z][^"]*)"$/gm)].map(found => found[1] ?? '');
    expect(titles.length).toBeGreaterThan(5);
    const known = titles.filter(text => !runTitle(text)).flatMap(text => text.replaceAll('{WORK}', '/work').split(/(?<=\.) /));
    expect(known.filter(text => !SHARE_TEXTS.includes(text))).toEqual([]);
  });
});

describe('the reasons in the table of another platform', () => {
  const read = (name: string): string => readFileSync(join(import.meta.dirname, '../../jupyter_condabuild/conda/cross', name), 'utf8');
  const systems = (text: string): string => text.replace('{_MACOS}', 'macOS only').replace('{_WINDOWS}', 'Windows only');

  it('are those of the server, and no other', () => {
    const reasons = [...read('reasons.py').matchAll(/^[A-Z_]+ = "(.*)"$/gm)].map(([, text = '']) => text.replace('{}', '%1'));
    const counterparts = [...read('counterparts.py').matchAll(/Counterpart\(\s*"[^"]*", f?"([^"]*)"/g)].map(([, text = '']) => systems(text));
    expect(counterparts.length).toBeGreaterThan(50);
    expect([...REASONS].sort()).toEqual([...new Set([...reasons, ...counterparts])].sort());
  });

  it('are found by their text, with the name in it', () => {
    for (const text of REASONS) {
      const name = text.includes('%1') ? 'numpy' : '';
      expect(knownReason(text.replace('%1', 'numpy'))).toEqual({ text, name });
    }
    expect(knownReason('another reason')).toBeNull();
  });
});

describe('the faults that the panel knows', () => {
  const folder = join(import.meta.dirname, '../../jupyter_condabuild');
  const server = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.py'))
    .map(name => readFileSync(join(folder, name), 'utf8').replace(/"\s*\n\s*f?"/g, ''))
    .join('\n');

  it('are those of the server, with the same hints', () => {
    for (const [code, { hint }] of KNOWN_FAULTS) {
      expect(server, code).toContain(`"${code}"`);
      expect(server, code).toContain(hint);
    }
  });

  it('are all warnings of the server', () => {
    const codes = [...readFileSync(join(folder, 'warning_codes.py'), 'utf8').matchAll(/"([\w-]+)": Meaning\(/g)].map(([, code]) => code);
    expect(codes.length).toBeGreaterThan(70);
    expect(codes.filter(code => !KNOWN_FAULTS.has(code ?? ''))).toEqual([]);
  });
});

describe('the sources', () => {
  it('display no text without a translation', () => {
    const views = readdirSync(join(SOURCES, 'views')).filter(name => name.endsWith('.tsx'));
    for (const name of views) {
      const text = readFileSync(join(SOURCES, 'views', name), 'utf8');
      expect(text.match(/>\s*[A-Z][a-z]+[^<>{}()=;]*<\//g) ?? [], name).toEqual([]);
      expect(text, name).not.toContain('dangerouslySetInnerHTML');
    }
  });
});
