/** What the panel shows, as one value. */

import type { Build, Change, Engine, Fault, Installer, Snapshot, Source, Status } from '../api/contract';
import type { Connection } from '../api/stream';
import { NOTHING_YET, type BuildProgress } from './build';

/** The kernel that the panel follows. */
export interface Subject {
  source: Source;
  /** The notebook's name, or the kernelspec's. */
  title: string;
}

/** What of the form is about one environment, and does not go over to another. */
export interface EnvironmentForm {
  reference: string;
  /** Whether a person wrote the reference; until then it is suggested. */
  edited: boolean;
  archive: string;
  /** Whether the environment's own variables, which may be secrets, go into the image. */
  variables: boolean;
}

export interface Form extends EnvironmentForm {
  destination: 'push' | 'load' | 'archive';
  base: string;
  engine: Engine | '';
  /** Who installs in the docker engine, and whether a newer image of it is looked for. */
  installer: Installer | '';
  pull: boolean;
  cacheFrom: string;
  include: string;
  strict: boolean;
}

/** The form of an environment in which nobody wrote anything. */
export const UNTOUCHED: EnvironmentForm = { reference: '', edited: false, archive: '', variables: false };

export const EMPTY_FORM: Form = {
  ...UNTOUCHED,
  destination: 'push',
  base: '',
  engine: '',
  installer: '',
  pull: false,
  cacheFrom: '',
  include: '',
  strict: false
};

export interface Comparison {
  before: Build;
  after: Build;
  changes: Change[] | null;
  fault: Fault | null;
}

export interface PanelState {
  status: Status | null;
  /** Why there is no server part to speak to. */
  absent: Fault | null;
  subject: Subject | null;
  snapshot: Snapshot | null;
  snapshotFault: Fault | null;
  /** The environment is being read. */
  reading: boolean;
  /** The plan is being compared with the registry. */
  planning: boolean;
  form: Form;
  starting: boolean;
  startFault: Fault | null;
  builds: Build[];
  /** The build on show; null shows the environment. */
  shown: string | null;
  progress: Readonly<Record<string, BuildProgress>>;
  /** How the stream of each build that is followed is connected. */
  connections: Readonly<Record<string, Connection>>;
  /** The build that was on show when the server turned out to know it no longer. */
  forgotten: Build | null;
  /** What changed since the image before the one on show. */
  since: Comparison | null;
  comparison: Comparison | null;
}

export const INITIAL: PanelState = {
  status: null,
  absent: null,
  subject: null,
  snapshot: null,
  snapshotFault: null,
  reading: false,
  planning: false,
  form: EMPTY_FORM,
  starting: false,
  startFault: null,
  builds: [],
  shown: null,
  progress: {},
  connections: {},
  forgotten: null,
  since: null,
  comparison: null
};

export function shownBuild(state: PanelState): Build | null {
  return state.builds.find(build => build.id === state.shown) ?? null;
}

export function progressOf(state: PanelState, id: string): BuildProgress {
  return state.progress[id] ?? NOTHING_YET;
}

export function connectionOf(state: PanelState, id: string): Connection {
  return state.connections[id] ?? 'open';
}

export function isOver(build: Build): boolean {
  return build.state !== 'queued' && build.state !== 'running';
}

/** The engine that a build of the form would use. */
export function engineOf({ form, status }: PanelState): Engine {
  return form.engine || status?.settings.engine || 'layers';
}

/** The build that runs or waits, the newest first. */
export function activeBuild(state: PanelState): Build | null {
  return state.builds.find(build => !isOver(build)) ?? null;
}

/** The last image of the same environment before a build; null where it was of none on this machine. */
export function imageBefore(builds: readonly Build[], prefix: string, before = Infinity): Build | null {
  const ofSame = (build: Build): boolean => build.state === 'finished' && build.request.prefix === prefix;
  return (prefix && builds.find(build => ofSame(build) && build.created < before)) || null;
}

/** Builds, the newest first, with one of them put in or in the place of its older self. */
export function withBuild(builds: readonly Build[], build: Build): Build[] {
  return sorted([newer(builds, build), ...builds.filter(other => other.id !== build.id)]);
}

/** The builds of the server's list, and of those known what is newer than the list: builds under way, and the one on show. */
export function withBuilds({ builds, shown }: PanelState, list: readonly Build[]): Build[] {
  const listed = new Set(list.map(build => build.id));
  const others = builds.filter(build => !listed.has(build.id) && (!isOver(build) || build.id === shown));
  return sorted([...list.map(build => newer(builds, build)), ...others]);
}

/** A build does not begin again: an answer that says so is older than what is known. */
function newer(known: readonly Build[], build: Build): Build {
  const before = known.find(each => each.id === build.id);
  return before && isOver(before) && !isOver(build) ? before : build;
}

function sorted(builds: Build[]): Build[] {
  return builds.sort((a, b) => b.created - a.created);
}
