/** What the server is asked to build: from the form, or as a build before. */

import type { Build, BuildRequest, SnapshotRequest, Source } from '../api/contract';
import { engineOf, previousImage, type PanelState } from './state';

/** What an environment holds and, where the form has a name, what a build of the form would do. */
export function snapshotRequest(source: Source, state: PanelState): SnapshotRequest {
  const { form } = state;
  const cacheFrom = cacheOf(state);
  return {
    ...source,
    ...(form.destination === 'push' && { reference: form.reference }),
    ...(cacheFrom.length && { cache_from: cacheFrom }),
    ...howOf(state)
  };
}

/** A build of what the form says. */
export function formRequest(source: Source, state: PanelState): BuildRequest {
  const { form } = state;
  const archive = form.destination === 'archive' ? form.archive || archiveName(form.reference) : '';
  const cacheFrom = cacheOf(state);
  return {
    ...source,
    reference: form.reference,
    push: form.destination === 'push',
    load: form.destination === 'load',
    archive,
    ...howOf(state),
    ...(engineOf(state) === 'docker' && form.pull && { pull: true }),
    ...(cacheFrom.length && { cache_from: cacheFrom }),
    ...(form.include && { include: form.include }),
    strict: form.strict,
    ...(form.variables && { variables: true }),
    again: false
  };
}

function howOf(state: PanelState): Pick<SnapshotRequest, 'base' | 'engine' | 'installer'> {
  const { base, engine, installer } = state.form;
  return {
    ...(base && { base }),
    ...(engine && { engine }),
    ...(engineOf(state) === 'docker' && installer && { installer })
  };
}

/** Whether a command has a member that the server shows of requests; it shows all of them for each command. */
const HAS: Record<Build['command'], (member: string) => boolean> = {
  build: member => !['keep', 'target', 'without'].includes(member),
  base: member =>
    ['prefix', 'lockfile', 'reference', 'engine', 'base', 'installer', 'installer_image', 'keep', 'without'].includes(member),
  rebase: member => ['reference', 'base', 'target'].includes(member),
  verify: member => member === 'reference'
};

/** The same again, from the environment as it is now or from the lock file. An empty text says no more than none. */
export function sameAgain({ command, request }: Build): BuildRequest {
  const members = Object.entries(request).filter(([member, value]) => HAS[command](member) && value !== '');
  // What the server shows is what it was asked, which the types of single members cannot say.
  return { command, ...Object.fromEntries(members), ...(command === 'build' && { again: true }) } as BuildRequest;
}

/** The image of a build, as it came out: by its digest where it lies in a registry, for a tag may have moved on. */
export function imageOf({ request, result }: Build): string {
  if (request.archive) {
    return request.archive.includes(':') ? request.archive : `oci-archive:${request.archive}`;
  }
  const reference = result?.reference || request.reference;
  return request.load ? `docker-daemon:${reference}` : `${reference}@${result?.digest ?? ''}`;
}

/** Images whose layers are reused: those of the form, of the settings, and the image before. */
export function cacheOf({ builds, form, snapshot, status }: PanelState): string[] {
  const before = snapshot && previousImage(builds, snapshot.prefix);
  const named = form.cacheFrom.split(/[\s,]+/).filter(Boolean);
  const previous = before?.request.push && before.result ? [before.result.reference] : [];
  return [...new Set([...named, ...(status?.settings.cache_from ?? []), ...previous])];
}

function archiveName(reference: string): string {
  const name = reference.split('/').pop() ?? '';
  return `${name.replace(/[^\w.-]+/g, '-') || 'image'}.tar`;
}
