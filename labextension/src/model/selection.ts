/** What a person chooses to leave out of the image, or to take into it, besides packages. */

import type { SnapshotRequest } from '../api/contract';
import { targetMembers, targetOf, type Target } from './target';

/** The choices for one environment. */
export interface Selection {
  /** Patterns as in .gitignore. */
  exclude: string[];
  /** The names of editable installs. */
  excludeEditable: string[];
  /** Paths outside of the environment that the image gets. */
  includeOutside: string[];
  /** Paths outside of the environment that the image does not need. */
  withoutOutside: string[];
  /** Files that go into the image although they seem to hold secrets: those that a person has seen. */
  allowSecret: string[];
  /** Packages of Debian that the base gets: names, some with a version. */
  apt: string[];
}

export type DecisionKind = keyof Selection;

export interface Decision {
  kind: DecisionKind;
  value: string;
}

export const NO_SELECTION: Selection = {
  exclude: [],
  excludeEditable: [],
  includeOutside: [],
  withoutOutside: [],
  allowSecret: [],
  apt: []
};

const KINDS = Object.keys(NO_SELECTION) as DecisionKind[];

/** The kind of the choice that contradicts one for the same path. */
const OPPOSITE: Partial<Record<DecisionKind, DecisionKind>> = { includeOutside: 'withoutOutside', withoutOutside: 'includeOutside' };

/** Whether a choice takes something into the image; the others leave something out. */
export function takes({ kind }: Decision): boolean {
  return kind === 'includeOutside' || kind === 'allowSecret' || kind === 'apt';
}

export function decisions(choices: Selection): Decision[] {
  return KINDS.flatMap(kind => choices[kind].map(value => ({ kind, value })));
}

export function withDecisions(choices: Selection, added: readonly Decision[]): Selection {
  const result = { ...choices };
  for (const { kind, value } of added) {
    const opposite = OPPOSITE[kind];
    if (opposite) {
      result[opposite] = result[opposite].filter(other => other !== value);
    }
    result[kind] = [...result[kind].filter(other => other !== value), value];
  }
  return result;
}

export function withoutDecision(choices: Selection, { kind, value }: Decision): Selection {
  return { ...choices, [kind]: choices[kind].filter(other => other !== value) };
}

/** A text with names between spaces or commas, as packages of Debian. */
export function namesIn(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}

/** The names that no package of Debian can have. Source: Debian Policy, sections 5.6.1 and 5.6.12, as the server reads them. */
export function badNames({ apt }: Selection): string[] {
  return apt.filter(name => !/^[a-z0-9][a-z0-9+.-]{1,99}(=[0-9][A-Za-z0-9.+:~-]{0,199})?$/.test(name));
}

/** The choices without those of places outside of the environment, which may not exist any more. */
export function insideOnly(choices: Selection): Selection {
  return { ...choices, includeOutside: [], withoutOutside: [] };
}

/** The members of a request that say what the environment of the image contains. The base has the packages of Debian. */
export function selectionMembers(
  choices: Selection
): Pick<SnapshotRequest, 'exclude' | 'exclude_editable' | 'include_outside' | 'without_outside' | 'allow_secret'> {
  return {
    ...(choices.exclude.length && { exclude: choices.exclude }),
    ...(choices.excludeEditable.length && { exclude_editable: choices.excludeEditable }),
    ...(choices.includeOutside.length && { include_outside: choices.includeOutside }),
    ...(choices.withoutOutside.length && { without_outside: choices.withoutOutside }),
    ...(choices.allowSecret.length && { allow_secret: choices.allowSecret })
  };
}

/** The members of a request that say what the image contains: the selection, and the platform. */
export function contentMembers(form: { selection: Selection } & Target): ReturnType<typeof selectionMembers> & ReturnType<typeof targetMembers> {
  return { ...selectionMembers(form.selection), ...targetMembers(form) };
}

/** The values of the form that make the contents of an earlier request. */
export function contentsOf(request: Parameters<typeof targetOf>[0] & object): { selection: Selection } & Target {
  return { selection: selectionOf(request), ...targetOf(request) };
}

/** The choices of an earlier request, or of stored data of any form. */
export function selectionOf(value: object): Selection {
  const list = (member: string): string[] => {
    const found: unknown = (value as Record<string, unknown>)[member];
    return Array.isArray(found) ? found.filter(item => typeof item === 'string') : [];
  };
  return {
    exclude: list('exclude'),
    excludeEditable: list('exclude_editable'),
    includeOutside: list('include_outside'),
    withoutOutside: list('without_outside'),
    allowSecret: list('allow_secret'),
    apt: list('apt')
  };
}

/** The pattern of .gitignore that names one path: relative to the environment, or absolute. A folder ends in a slash. */
export function patternOf(path: string): string {
  const escaped = path.replace(/[\\*?[\]]/g, '\\$&').replace(/ $/, '\\ ');
  return path.startsWith('/') ? escaped : `/${escaped}`;
}
