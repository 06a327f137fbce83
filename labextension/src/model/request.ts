/** Requests to the server, from the form or from an earlier build. */

import type { Build, BuildRequest, Snapshot, SnapshotRequest, Source } from '../api/contract';
import { contentMembers } from './selection';
import { destinationOf, isComparable } from './possible';
import { engineOf, includeOf, previousImage, type PanelState } from './state';

/** The request for a snapshot of an environment, with the plan for the form. */
export function snapshotRequest(source: Source, state: PanelState): SnapshotRequest {
  const { form } = state;
  const cacheFrom = cacheOf(state);
  return {
    ...source,
    ...(isComparable(state) && { reference: form.reference }),
    ...(cacheFrom.length && { cache_from: cacheFrom }),
    ...contentMembers(form),
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

function howOf(state: PanelState): Pick<SnapshotRequest, 'base' | 'engine' | 'installer' | 'include'> {
  const { base, engine, installer } = state.form;
  const include = includeOf(state);
  return {
    ...(base && { base }),
    ...(include && { include }),
    ...(engine && { engine }),
    ...(engineOf(state) === 'docker' && installer && { installer })
  };
}

/** Whether a command has a member. The server shows the members of all commands for each request. */
const HAS: Record<Build['command'], (member: string) => boolean> = {
  build: member => !['keep', 'target', 'without'].includes(member),
  base: member =>
    !['archive', 'exclude', 'identity', 'include', 'include_outside', 'load', 'pull', 'push', 'stack', 'target', 'without_outside'].includes(member),
  rebase: member => ['reference', 'base', 'target'].includes(member),
  verify: member => ['reference', 'base'].includes(member)
};

/** The request that repeats a build, from its current environment or from its lock file. An empty text means no text. */
export function sameAgain({ command, request }: Build): BuildRequest {
  const members = Object.entries(request).filter(([member, value]) => HAS[command](member) && value !== '');
  // The server shows a valid request. The types of the members cannot express this.
  return { command, ...Object.fromEntries(members), ...(command === 'build' && { again: true }) } as BuildRequest;
}

/** The image of a build for `verify`. An image in a registry is named by its digest, because its tag may have moved. */
export function imageOf({ request, result }: Build): string {
  if (request.archive) {
    return request.archive.includes(':') ? request.archive : `oci-archive:${request.archive}`;
  }
  const reference = result?.reference || request.reference;
  return request.load ? `docker-daemon:${reference}` : `${reference}@${result?.digest ?? ''}`;
}

/** The images whose layers are reused: the images of the form and of the settings, and the previous image. */
export function cacheOf({ builds, form, snapshot, status }: PanelState): string[] {
  const before = snapshot && previousImage(builds, snapshot.prefix);
  const named = form.cacheFrom.split(/[\s,]+/).filter(Boolean);
  const previous = before?.request.push && before.result ? [before.result.reference] : [];
  return [...new Set([...named, ...(status?.settings.cache_from ?? []), ...previous])];
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
