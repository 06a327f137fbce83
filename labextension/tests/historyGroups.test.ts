import { describe, expect, it } from 'vitest';

import type { Build } from '../src/api/contract';
import { historyGroups, type HistoryFilter } from '../src/model/history';
import { shortNames, wholeName } from '../src/model/names';
import { aBuild } from './things';

const build = (id: string, name: string, state: Build['state'] = 'finished'): Build =>
  aBuild({ id, state, request: { ...aBuild().request, prefix: '/envs/own', reference: `registry.lab.org/team/${name}` } });

const BUILDS = [
  build('e', 'sci:v2', 'running'),
  build('d', 'sci:v1'),
  build('c', 'nlp:v1', 'failed'),
  build('b', 'sci:v1', 'cancelled'),
  build('a', 'sci:v1')
];

const shown = (words: string, filter: HistoryFilter = 'all'): string[] =>
  historyGroups(BUILDS, words, filter).map(({ name, builds }) => `${name.replace('registry.lab.org/team/', '')} ${builds.map(({ id }) => id).join('')}`);

describe('the history', () => {
  it('has one group for each name, in the order of the newest builds', () => {
    expect(shown('')).toEqual(['sci:v2 e', 'sci:v1 dba', 'nlp:v1 c']);
  });

  it('has the image of a name before its verifications', () => {
    const verification = { ...build('f', 'sci:v1'), command: 'verify' as const };
    const [first, second] = historyGroups([verification, ...BUILDS], '', 'all');
    expect([first?.builds, second?.builds].map(builds => builds?.map(({ id }) => id).join(''))).toEqual(['dfba', 'e']);
    expect(historyGroups([verification], '', 'all')[0]?.builds[0].id).toBe('f');
  });

  it('keeps images of other repositories and registries apart', () => {
    const named = (id: string, reference: string, change: Partial<Build> = {}): Build =>
      aBuild({ id, state: 'finished', ...change, request: { ...aBuild().request, reference } });
    const builds = [
      named('5', `localhost:5055/slow/env:1@sha256:${'a'.repeat(64)}`, { command: 'verify' }),
      named('4', 'localhost:5055/slow/env:1'),
      named('3', 'localhost:5056/dbl/env:1'),
      named('2', 'localhost:5056/slow/env:1'),
      named('1', 'localhost:5056/dbl/other:1')
    ];
    const groups = historyGroups(builds, '', 'all');
    expect(groups.map(group => group.builds.map(({ id }) => id).join(''))).toEqual(['45', '3', '2', '1']);
    expect(groups.map(({ name }) => shortNames(builds.map(wholeName))(name))).toEqual([
      'localhost:5055/slow/env:1',
      'dbl/env:1',
      'localhost:5056/slow/env:1',
      'other:1'
    ]);
    expect(historyGroups(builds, '5056/slow', 'all')).toHaveLength(1);
  });

  it('is searched for every word, in upper and lower case', () => {
    expect(shown('V1 sci')).toEqual(['sci:v1 dba']);
    expect(shown('lab.org nlp')).toEqual(['nlp:v1 c']);
    expect(shown('/envs/own nothing')).toEqual([]);
  });

  it('is filtered by how builds ended', () => {
    expect(shown('', 'finished')).toEqual(['sci:v1 da']);
    expect(shown('', 'failed')).toEqual(['nlp:v1 c', 'sci:v1 b']);
    expect(shown('', 'active')).toEqual(['sci:v2 e']);
  });
});
