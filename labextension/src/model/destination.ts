/** The reference of an image: a suggestion, and checks of its form that need no server. */

import type { Build, Snapshot } from '../api/contract';
import { isOver, type TagStyle } from './state';

/**
 * A suggested repository and tag for an environment: its name, and a tag that no other contents of an environment have in
 * the history. The same contents keep their tag.
 */
export function suggestedReference(
  registry: string,
  { identity, name }: Pick<Snapshot, 'identity' | 'name'>,
  builds: readonly Build[],
  style: TagStyle,
  now = new Date()
): string {
  const prefix = registry.replace(/\/+$/, '');
  const named = `${prefix ? `${prefix}/` : ''}${repository(name) || 'environment'}:`;
  const tags = new Map<string, string>();
  for (const { command, request, result, ...build } of builds) {
    const reference = result?.reference || request.reference;
    const counts = command === 'build' && (result !== null || !isOver(build)) && reference.startsWith(named);
    const tag = reference.slice(named.length);
    if (counts && !tags.has(tag)) {
      tags.set(tag, request.identity);
    }
  }
  return named + suggestedTag(identity, tags, style, now);
}

/** A suggested name for an image on another base: the image's name with a tag that no image of the history has. */
export function rebasedReference({ request, result }: Build, builds: readonly Build[]): string {
  const before = (result?.reference || request.reference).split('@')[0] ?? '';
  const used = new Set(builds.flatMap(build => [build.request.reference, build.request.target, build.result?.reference]));
  const stem = before.replace(/-base\d+$/, '');
  let number = 2;
  while (used.has(`${stem}-base${number}`)) {
    number++;
  }
  return `${stem}-base${number}`;
}

/** @param tags - The identities of the environments of the known tags, the newest first. */
function suggestedTag(identity: string, tags: ReadonlyMap<string, string>, style: TagStyle, now: Date): string {
  if (style === 'digest') {
    return identity.replace(/^sha256:/, '').slice(0, 12) || 'latest';
  }
  const form = style === 'version' ? /^v\d{1,9}$/ : /^\d{4}-\d\d-\d\d(\.\d{1,9})?$/;
  const [same] = [...tags].find(([tag, before]) => before === identity && form.test(tag)) ?? [];
  if (same) {
    return same;
  }
  if (style === 'version') {
    const numbers = [...tags.keys()].filter(tag => form.test(tag)).map(tag => Number(tag.slice(1)));
    return `v${Math.max(0, ...numbers) + 1}`;
  }
  const two = (number: number): string => String(number).padStart(2, '0');
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  let tag = day;
  for (let number = 2; tags.has(tag); number++) {
    tag = `${day}.${number}`;
  }
  return tag;
}

/** A name in the form of a repository. Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests */
export function repository(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
}

/** Whether a text has the form of a reference; the server decides. */
export function looksLikeReference(text: string): boolean {
  const host = String.raw`(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d+)?/`;
  const part = String.raw`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`;
  return new RegExp(String.raw`^(?:${host})?(?=[^:]{1,255}(?::|$))${part}(?:/${part})*(?::\w[\w.-]{0,127})?$`).test(text);
}

/** The registry that a reference names, or else that of the setting `registry`; without both, Docker Hub. */
export function registryOf(reference: string, setting: string): string {
  const named = namesRegistry(reference) ? reference : setting;
  return named.split('/')[0] || 'docker.io';
}

/** Whether a reference names its registry, so that it can be pushed to without the setting `registry`. */
export function namesRegistry(reference: string): boolean {
  const first = reference.split('/')[0] ?? '';
  return reference.includes('/') && (/[.:]/.test(first) || first === 'localhost');
}
