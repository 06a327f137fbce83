/** The versions of a changed package, as short as possible. */

import type { Change } from '../api/contract';

/** Versions before and after, with conda's builds where the versions are the same. */
export function versions({ manager, before, after }: Change): [before: string, after: string] {
  const version = (text: string): string => (manager === 'conda' ? text.replace(/-[^-]*$/, '') : text);
  const short: [string, string] = [version(before), version(after)];
  return short[0] === short[1] ? [before, after] : short;
}
