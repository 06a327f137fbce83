/** The warnings of a snapshot in groups, and what each of them lets a person choose. */

import type { Snapshot, Warning } from '../api/contract';
import { patternOf, type Decision } from './selection';

/** A file, a folder or an editable install that a warning is about. */
export interface Item {
  name: string;
  /** The size in bytes; null if it is unknown. */
  size: number | null;
  /** The number of its files; undefined if it is one file. */
  files?: number;
  /** Whether it is a folder whose files are listed, too. */
  contains?: true;
  leave?: Decision;
  take?: Decision;
}

/** The warnings with one code. */
export interface Entry {
  code: string;
  why: string;
  warnings: Warning[];
  items: Item[];
  /** The number and the size of everything, if more is there than `items` has. */
  count: number;
  size: number;
  /** Whether a pattern can leave a part of it out. */
  hasPatterns: boolean;
}

export interface EntryGroup {
  group: Warning['group'];
  entries: Entry[];
}

/** The groups, the most important first. */
const ORDER: Warning['group'][] = ['stops', 'lost', 'others', 'note'];

/** The codes of what a person has chosen: the choices themselves are displayed instead. */
const CHOSEN = ['excluded-files', 'excluded-changes', 'excluded-editable', 'outside-taken'];

/** The groups of warnings that have a member, each with one entry for a code. */
export function grouped(warnings: readonly Warning[], snapshot: Snapshot | null): EntryGroup[] {
  const codes = [...new Set(warnings.map(({ code }) => code))].filter(code => !snapshot || !CHOSEN.includes(code));
  const entries = codes.map(code => entryOf(code, warnings.filter(warning => warning.code === code), snapshot));
  const known = (group: Warning['group']): Warning['group'] => (ORDER.includes(group) ? group : 'note');
  return ORDER.map(group => ({
    group,
    entries: entries.filter(({ warnings: [first] }) => first && known(first.group) === group)
  })).filter(({ entries: members }) => members.length > 0);
}

/** What leaves out everything that an entry lists; empty if a person should look at the list first. */
export function leaveAll({ count, items }: Entry, most = 20): Decision[] {
  const choices = items.filter(({ contains }) => !contains).flatMap(({ leave }) => leave ?? []);
  return choices.length <= most && choices.length >= count ? choices : [];
}

function entryOf(code: string, warnings: Warning[], snapshot: Snapshot | null): Entry {
  const items = snapshot ? itemsOf(code, snapshot) : [];
  const paths = snapshot && pathsOf(code, snapshot);
  return {
    code,
    why: warnings[0]?.why ?? '',
    warnings,
    items,
    count: paths ? paths.count : items.length,
    size: paths ? paths.bytes : items.reduce((sum, { size }) => sum + (size ?? 0), 0),
    hasPatterns: code === 'untracked-files' || code === 'modified-files'
  };
}

function pathsOf(code: string, { drift }: Snapshot): Snapshot['excluded'] | null {
  switch (code) {
    case 'untracked-files':
      return drift.untracked;
    case 'modified-files':
      return drift.modified;
    case 'missing-files':
      return drift.missing;
    case 'empty-folders':
      return drift.empty;
    default:
      return null;
  }
}

function itemsOf(code: string, snapshot: Snapshot): Item[] {
  const paths = pathsOf(code, snapshot);
  if (paths) {
    return fileItems(paths.first, code === 'empty-folders');
  }
  const { credentials, editables, outside, secrets } = snapshot;
  switch (code) {
    case 'editable-install':
      return editables
        .filter(({ state }) => state === 'taken')
        .map(({ bytes, files, name }) => ({ name, size: bytes, files, leave: { kind: 'excludeEditable', value: name } }));
    case 'credentials-left-out':
      return credentials.map(path => ({ name: path, size: null, take: { kind: 'allowSecret', value: path } }));
    case 'secrets-found':
      return [...new Set(secrets.map(({ path }) => path))].map(path => ({
        name: path,
        size: null,
        leave: { kind: 'exclude', value: patternOf(path) },
        take: { kind: 'allowSecret', value: path }
      }));
    case 'outside-prefix':
    case 'outside-settings':
      return outside
        .filter(({ kind, files, state }) => state === 'left' && files > 0 && (kind === 'setting') === (code === 'outside-settings'))
        .map(({ bytes, files, kind, path }) => ({
          name: path,
          size: bytes,
          files,
          leave: { kind: 'withoutOutside', value: path },
          ...(kind !== 'setting' && { take: { kind: 'includeOutside', value: path } as const })
        }));
    default:
      return [];
  }
}

/** The folders with at least two files, and the files. */
function fileItems(paths: Snapshot['excluded']['first'], areFolders: boolean): Item[] {
  const folders = new Map<string, { files: number; size: number }>();
  for (const { path, size } of paths) {
    const folder = path.slice(0, path.lastIndexOf('/') + 1);
    const known = folders.get(folder) ?? { files: 0, size: 0 };
    folders.set(folder, { files: known.files + 1, size: known.size + size });
  }
  const several = [...folders].filter(([folder, { files }]) => folder && files > 1);
  return [
    ...several.map(([folder, { files, size }]) => ({ name: folder, size, files, contains: true as const, leave: excluded(folder) })),
    ...paths.map(({ path, size }) => ({ name: path, size: areFolders ? null : size, leave: excluded(areFolders ? `${path}/` : path) }))
  ];
}

function excluded(path: string): Decision {
  return { kind: 'exclude', value: patternOf(path) };
}
