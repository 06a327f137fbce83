/** Requests to the server, from the form or from an earlier build. */

import type { Build, BuildRequest, SeenImage, Snapshot, SnapshotRequest, Source } from '../api/contract';
import { registryOf } from './destination';
import { contentMembers, contentsOf } from './selection';
import { destinationOf, isComparable } from './possible';
import { EMPTY_FORM, engineOf, images, includeOf, type Form, type PanelState } from './state';

/** The request for the contents of an environment as the form chooses them: the same values have the same identity. */
export function contentsRequest(source: Source, state: PanelState): SnapshotRequest {
  const include = includeOf(state);
  return {
    ...source,
    ...contentMembers(state.form),
    ...(include && { include }),
    ...(state.form.variables && { variables: true })
  };
}

/** The request for a snapshot of an environment, with the plan for the form. */
export function snapshotRequest(source: Source, state: PanelState): SnapshotRequest {
  const { form } = state;
  const cacheFrom = cacheOf(state);
  return {
    ...contentsRequest(source, state),
    ...(isComparable(state) && { reference: form.reference }),
    ...(cacheFrom.length && { cache_from: cacheFrom }),
    ...howOf(state)
  };
}

/** The request for the build that the form describes, of the environment that the person sees. */
export function formRequest({ identity, prefix }: Snapshot, state: PanelState): BuildRequest {
  const { form } = state;
  const destination = destinationOf(state);
  const archive = destination === 'archive' ? form.archive || archiveName(form.reference) : '';
  const cacheFrom = cacheOf(state);
  return {
    prefix,
    identity,
    reference: form.reference,
    push: destination === 'push',
    load: destination === 'load',
    archive,
    ...howOf(state),
    ...(engineOf(state) === 'docker' && form.pull && { pull: true }),
    ...(cacheFrom.length && { cache_from: cacheFrom }),
    ...contentMembers(form),
    strict: form.strict,
    ...(form.variables && { variables: true }),
    again: false
  };
}

/** The form with the values of an earlier build of the environment, and more packages of Debian. */
export function formAgain(request: Build['request'], state: PanelState, packages: readonly string[] = []): Form {
  const { archive, base, engine, include, installer, load, pull, reference, strict, variables } = request;
  const notebook = include !== '' && include === state.subject?.path;
  const contents = contentsOf(request);
  // What the settings add is no choice of the person.
  const isUsual = !packages.length && request.apt.join() === state.status?.settings.apt.join();
  return {
    ...EMPTY_FORM,
    ...contents,
    selection: { ...contents.selection, apt: isUsual ? [] : unique([...request.apt, ...packages]) },
    tagStyle: state.form.tagStyle,
    check: state.form.check,
    notebook,
    include: notebook ? '' : include,
    reference,
    destination: archive ? 'archive' : load ? 'load' : 'push',
    archive,
    base,
    engine,
    installer,
    pull,
    strict,
    variables,
    cacheFrom: typedCacheOf(request, state).join(' ')
  };
}

function howOf(state: PanelState): Pick<SnapshotRequest, 'apt' | 'base' | 'engine' | 'installer' | 'include'> {
  const { base, engine, installer, selection } = state.form;
  const include = includeOf(state);
  return {
    ...(base && { base }),
    ...(selection.apt.length && { apt: selection.apt }),
    ...(include && { include }),
    ...(engine && { engine }),
    ...(engineOf(state) === 'docker' && installer && { installer })
  };
}

/** Whether a command has a member. The server shows the members of all commands for each request. */
const HAS: Record<Build['command'], (member: string) => boolean> = {
  build: member => !['keep', 'target', 'without'].includes(member),
  base: member =>
    !['apt', 'archive', 'exclude', 'identity', 'include', 'include_outside', 'load', 'pull', 'push', 'stack', 'target', 'without_outside'].includes(member),
  rebase: member => ['reference', 'base', 'target'].includes(member),
  verify: member => ['reference', 'base'].includes(member)
};

/** The request that repeats a build, from its current environment or from its lock file. An empty text means no text. */
export function sameAgain({ command, request }: Build): BuildRequest {
  const members = Object.entries(request).filter(([member, value]) => HAS[command](member) && value !== '');
  // The server shows a valid request. The types of the members cannot express this.
  return { command, ...Object.fromEntries(members), ...(command === 'build' && { again: true }) } as BuildRequest;
}

/** The request for the layers of an image on another base. */
export function rebaseRequest({ request, result }: Build, base: string, target: string): BuildRequest {
  const reference = result?.reference || request.reference;
  return { command: 'rebase', reference, base, ...(target !== reference && { target }) };
}

/** The image of a build for `verify`. An image in a registry is named by its digest, because its tag may have moved. */
export function imageOf({ request, result }: Build): string {
  if (request.archive) {
    return request.archive.includes(':') ? request.archive : `oci-archive:${request.archive}`;
  }
  const reference = result?.reference || request.reference;
  return request.load ? `docker-daemon:${reference}` : `${reference}@${result?.digest ?? ''}`;
}

/**
 * The image of a build as its kernel is installed from it. `seen` is its digest, by which the server knows that the name
 * still means this image; it is empty where only a description of the image has the digest.
 */
export function seenImageOf(build: Build): SeenImage {
  const { request, result } = build;
  const isOne = request.push && !request.archive && result && !result.images;
  return isOne ? { reference: result.reference, seen: result.digest } : { reference: imageOf(build), seen: '' };
}

/** The number of images of the history whose layers are reused: each costs a request or two. */
const MOST_NEAR = 3;

/**
 * The images whose layers are reused: the images of the form and of the settings, the newest images that the history has
 * in the registry of the form's name, those of the environment first, and the previous image of the environment.
 */
export function cacheOf(state: PanelState): string[] {
  const { builds, form, snapshot, status } = state;
  const pushed = images(builds).flatMap(({ request, result }) =>
    request.push && result?.reference ? [{ reference: result.reference, own: request.prefix === snapshot?.prefix }] : []
  );
  const registry = registryOf(form.reference, status?.settings.registry ?? '');
  const near = isComparable(state) ? pushed.filter(({ reference }) => registryOf(reference, '') === registry) : [];
  const own = near.filter(image => image.own);
  const others = near.filter(image => !image.own);
  const nearest = unique([...own, ...others].map(({ reference }) => reference)).slice(0, MOST_NEAR);
  const previous = pushed.filter(image => image.own).slice(0, 1);
  return unique([...typed(form.cacheFrom), ...(status?.settings.cache_from ?? []), ...nearest, ...previous.map(({ reference }) => reference)]);
}

/** The images of an earlier request that only a person can have named: neither the settings nor the history has them. */
function typedCacheOf({ cache_from }: Build['request'], { builds, status }: PanelState): string[] {
  const known = new Set([...(status?.settings.cache_from ?? []), ...builds.map(({ result }) => result?.reference)]);
  return cache_from.filter(reference => !known.has(reference));
}

function typed(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

/** The archive of a build: its kind, its path below the server's root folder, and its name. */
export function archiveOf({ request }: Build): { kind: string; path: string; name: string } {
  const [, kind = 'oci-archive', path = ''] = /^(?:(oci-archive|docker-archive):)?(.*)$/s.exec(request.archive) ?? [];
  return { kind, path, name: path.split('/').pop() ?? '' };
}

function archiveName(reference: string): string {
  const name = reference.split('/').pop() ?? '';
  return `${name.replace(/[^\w.-]+/g, '-') || 'image'}.tar`;
}
