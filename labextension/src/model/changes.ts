/** What changed in a package, as short as it is told apart. */

import type { Change } from '../api/contract';

/** Versions before and after, with conda's builds where the versions are the same. */
export function versions({ manager, before, after }: Change): [before: string, after: string] {
  const version = (text: string): string => (manager === 'conda' ? text.replace(/-[^-]*$/, '') : text);
  const short: [string, string] = [version(before), version(after)];
  return short[0] === short[1] ? [before, after] : short;
}
