/** The platforms of the image, if they are not the environment's: what is asked for, and what becomes of the packages there. */

import type { Snapshot, SnapshotRequest, SubstitutedPackage, Substitution } from '../api/contract';

export type Closeness = NonNullable<SnapshotRequest['strict_versions']>;

export interface Target {
  /** Empty for the environment's platform, or for those that the server's settings name. Several get one name. */
  platforms: readonly string[];
  /** Packages that are further from the environment's are refused; empty if none are. */
  strictVersions: Closeness | '';
  /** The names of packages that the image can do without. */
  leaveOut: readonly string[];
}

export const OWN_PLATFORM: Target = { platforms: [], strictVersions: '', leaveOut: [] };

/** The platforms that a person chooses from. */
export const CHOICES: readonly (readonly string[])[] = [['linux-64'], ['linux-aarch64'], ['linux-ppc64le'], ['linux-64', 'linux-aarch64']];

type Members = Pick<SnapshotRequest, 'platform' | 'platforms' | 'strict_versions' | 'leave_out'>;

/** The members of a request. */
export function targetMembers({ platforms, strictVersions, leaveOut }: Target): Members {
  return {
    ...(platforms.length === 1 && { platform: platforms[0] }),
    ...(platforms.length > 1 && { platforms: [...platforms] }),
    ...(strictVersions && { strict_versions: strictVersions }),
    ...(leaveOut.length && { leave_out: [...leaveOut] })
  };
}

/** The target of an earlier request. */
export function targetOf({ platform, platforms, strict_versions, leave_out }: Members): Target {
  const strictVersions = strict_versions && strict_versions !== 'as-requested' ? strict_versions : '';
  return { platforms: platform ? [platform] : (platforms ?? []), strictVersions, leaveOut: leave_out ?? [] };
}

export function isSameTarget(one: Target, other: Target): boolean {
  return JSON.stringify(targetMembers(one)) === JSON.stringify(targetMembers(other));
}

/** What becomes of the packages on each platform. An environment's own platform has no table. */
export function tablesOf({ substitution, other_substitutions }: Snapshot): Substitution[] {
  return [...(substitution ? [substitution] : []), ...other_substitutions];
}

/** The platform of an environment. */
export function ownPlatform(snapshot: Snapshot): string {
  return tablesOf(snapshot)[0]?.from ?? snapshot.platform;
}

/**
 * The platforms to offer first where a snapshot needs some: those of the form, or of the settings, or that of the base,
 * which the server's error names.
 */
export function preselected({ platforms }: Target, settings: readonly string[], ofBase = ''): readonly string[] {
  return [platforms, settings, [ofBase || 'linux-64']].find(names => names.length) ?? [];
}

/** The platforms of a snapshot: those that a person chose, or that the settings name. */
export function platformsOf(snapshot: Snapshot, { platforms }: Target): readonly string[] {
  return platforms.length ? platforms : [snapshot.platform, ...snapshot.other_substitutions.map(table => table.platform)];
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
