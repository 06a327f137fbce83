/** The names of images: the whole reference says which image, and its last parts are displayed where they suffice. */

import type { Build } from '../api/contract';

/** The whole name of the image of a build: its reference without a digest, or its archive. A verification has the image's. */
export function wholeName({ id, request }: Build): string {
  const { target, reference, archive, prefix } = request;
  const name = (target || reference).split('@')[0] ?? '';
  return name.replace(/^(docker-daemon|oci-archive|docker-archive):/, '') || archive || prefix || id;
}

/**
 * A short name for each whole name: its last part, with as many parts before it as distinguish it from the others.
 *
 * @returns the short name of each whole name; the whole name for an unknown one.
 */
export function shortNames(names: Iterable<string>): (name: string) => string {
  const all = [...new Set(names)];
  const short = new Map<string, string>();
  for (const name of all) {
    const parts = name.split('/');
    const end = (count: number): string => `/${parts.slice(-count).join('/')}`;
    let count = 1;
    while (count < parts.length && all.some(other => other !== name && `/${other}`.endsWith(end(count)))) {
      count++;
    }
    short.set(name, parts.slice(-count).join('/'));
  }
  return name => short.get(name) ?? name;
}
