/** The history as the panel displays it: the builds that fit a search and a filter, grouped by the images' names. */

import type { Build } from '../api/contract';
import { wholeName } from './names';
import { isOver } from './state';

export type HistoryFilter = 'all' | 'finished' | 'failed' | 'active';

/** The builds of one name. The first is the newest that made an image; a name without an image has the newest verification first. */
export interface HistoryGroup {
  /** The whole name, see `wholeName`. */
  name: string;
  builds: [Build, ...Build[]];
}

/**
 * @param builds - The newest first.
 * @param words - Each word is in the name, the environment, the archive or the digest of every build in the result.
 */
export function historyGroups(
  builds: readonly Build[],
  words: string,
  filter: HistoryFilter
): HistoryGroup[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = new Map<string, HistoryGroup>();
  for (const build of builds) {
    const text = [wholeName(build), build.request.reference, build.request.prefix, build.request.archive, build.result?.digest]
      .join('\n')
      .toLowerCase();
    if (passes(build, filter) && wanted.every(word => text.includes(word))) {
      const name = wholeName(build);
      const group = groups.get(name);
      if (group) {
        group.builds.push(build);
      } else {
        groups.set(name, { name, builds: [build] });
      }
    }
  }
  for (const { builds } of groups.values()) {
    const first = builds.findIndex(({ command }) => command !== 'verify');
    builds.unshift(...builds.splice(Math.max(first, 0), 1));
  }
  return [...groups.values()];
}

function passes(build: Build, filter: HistoryFilter): boolean {
  switch (filter) {
    case 'all':
      return true;
    case 'active':
      return !isOver(build);
    case 'finished':
      return build.state === 'finished';
    case 'failed':
      return isOver(build) && build.state !== 'finished';
  }
}
