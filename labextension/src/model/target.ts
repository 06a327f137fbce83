/** The platform of the image, if it is not the environment's: what is asked for, and what becomes of the packages there. */

import type { SnapshotRequest, SubstitutedPackage, Substitution } from '../api/contract';

export type Closeness = NonNullable<SnapshotRequest['strict_versions']>;

export interface Target {
  /** Empty for the environment's platform, or for the one that the server's settings name. */
  platform: string;
  /** Packages that are further from the environment's are refused; empty if none are. */
  strictVersions: Closeness | '';
  /** The names of packages that the image can do without. */
  leaveOut: readonly string[];
}

export const OWN_PLATFORM: Target = { platform: '', strictVersions: '', leaveOut: [] };

/** The platforms of images. */
export const PLATFORMS: readonly string[] = ['linux-64', 'linux-aarch64', 'linux-ppc64le'];

/** The members of a request. */
export function targetMembers({ platform, strictVersions, leaveOut }: Target): Pick<SnapshotRequest, 'platform' | 'strict_versions' | 'leave_out'> {
  return {
    ...(platform && { platform }),
    ...(strictVersions && { strict_versions: strictVersions }),
    ...(leaveOut.length && { leave_out: [...leaveOut] })
  };
}

/** The target of an earlier request. */
export function targetOf({ platform, strict_versions, leave_out }: Pick<SnapshotRequest, 'platform' | 'strict_versions' | 'leave_out'>): Target {
  const strictVersions = strict_versions && strict_versions !== 'as-requested' ? strict_versions : '';
  return { platform: platform ?? '', strictVersions, leaveOut: leave_out ?? [] };
}

export function isSameTarget(one: Target, other: Target): boolean {
  return JSON.stringify(targetMembers(one)) === JSON.stringify(targetMembers(other));
}

const LOOK: readonly SubstitutedPackage['level'][] = ['missing', 'as-requested', 'same-minor', 'left-out'];

/**
 * The packages that a person should look at, the most important first: with another version, or left out although nobody
 * asked for it and not only because nothing needs it there.
 */
export function toLookAt({ packages }: Substitution): SubstitutedPackage[] {
  return packages
    .filter(({ level, why }) => LOOK.includes(level) && !why.endsWith('nothing needs it there'))
    .sort((a, b) => LOOK.indexOf(a.level) - LOOK.indexOf(b.level));
}

/** The versions of a package here and there; with their builds, if these are all that differs. */
export function versionsOf({ here, there }: SubstitutedPackage): [string, string] {
  const version = (text: string): string => text.replace(/^(.* )?([^ -]*)-[^ ]*$/, '$1$2');
  return version(here) === version(there) ? [here, there] : [version(here), version(there)];
}
