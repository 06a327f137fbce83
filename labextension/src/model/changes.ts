/** The versions of a changed package, as short as possible. */

import type { Change } from '../api/contract';

/** The versions before and after, with conda's builds if the versions are the same. */
export function versions({ manager, before, after }: Change): [before: string, after: string] {
  const version = (text: string): string => (manager === 'conda' ? text.replace(/-[^-]*$/, '') : text);
  const short: [string, string] = [version(before), version(after)];
  return short[0] === short[1] ? [before, after] : short;
}
