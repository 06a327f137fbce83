/** What this server can do with an image: where it goes unless a person chooses, and why it cannot go elsewhere. */

import type { Fault, Probe, Status } from '../api/contract';
import { looksLikeReference, namesRegistry } from './destination';
import { badNames } from './selection';
import { engineOf, type PanelState } from './state';

export type Destination = 'push' | 'load' | 'archive';

/** Why a build cannot start: the name of the image, names that no package of Debian has, or a part of the server that does not work, and bases to use instead. */
export type Obstacle = { reason: 'name' | 'registry' } | { reason: 'apt'; names: readonly string[] } | { reason: 'fault'; fault: Fault; instead: readonly string[] };

/** Whether a base is made on the spot, of packages, and so is no image of the name that was asked for. */
export function isMade(base: string): boolean {
  return base.startsWith('debian-packages:');
}

/** The destination of a build. Without a choice, an image goes to a registry if one is known, else to an archive. */
export function destinationOf(state: PanelState): Destination {
  return state.form.destination || (hasRegistry(state) ? 'push' : 'archive');
}

/** Whether the image has a registry: that of its name, or that of the settings. A name alone would go to Docker Hub. */
export function hasRegistry({ form, status }: PanelState): boolean {
  return namesRegistry(form.reference) || !!status?.settings.registry;
}

/** Whether the destination of the form can be compared with the environment. */
export function isComparable(state: PanelState): boolean {
  return destinationOf(state) === 'push' && looksLikeReference(state.form.reference) && hasRegistry(state);
}

/** The reason why a build for a destination cannot start; null if nothing is known against it. */
export function obstacleOf(state: PanelState, destination = destinationOf(state)): Obstacle | null {
  const probe = failedBefore(state, destination);
  if (probe?.fault) {
    return { reason: 'fault', fault: probe.fault, instead: probe.instead };
  }
  const silent = destination === 'push' ? silentRegistry(state) : null;
  if (silent) {
    return { reason: 'fault', fault: silent, instead: [] };
  }
  if (!looksLikeReference(state.form.reference)) {
    return { reason: 'name' };
  }
  if (destination === 'push' && !hasRegistry(state)) {
    return { reason: 'registry' };
  }
  const names = badNames(state.form.selection);
  return names.length ? { reason: 'apt', names } : null;
}

/** The fault of a registry that did not answer when the image was compared with it. */
export function silentRegistry({ snapshot }: PanelState): Fault | null {
  const fault = snapshot?.plan.unavailable;
  return fault?.code === 'registry_unreachable' ? fault : null;
}

/** A part of the server that a build for a destination needs and that does not work. */
function failedBefore(state: PanelState, destination: Destination): Probe | null {
  const { form, status } = state;
  const usesEngine = destination === 'load' || engineOf(state) === 'docker';
  const usesBase = !form.base || form.base === status?.settings.base_image;
  return probed(status, 'store') ?? (usesEngine ? probed(status, 'engine') : null) ?? (usesBase ? probed(status, 'base') : null);
}

/** A part of the server that does not work; null if it works or is not known. */
export function probed(status: Status | null, subject: Probe['subject']): Probe | null {
  return status?.probes.find(probe => probe.subject === subject && probe.fault) ?? null;
}
