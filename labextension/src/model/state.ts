/** The state of the panel. */

import type { Build, Change, Check, Engine, Fault, Installer, Licenses, Logins, Permission, Snapshot, Source, Status } from '../api/contract';
import type { Connection } from '../api/updates';
import { NO_EVENTS, type BuildProgress } from './build';
import type { NewsItem } from './news';
import type { OpenedImage } from './openedImage';
import type { Trial } from './trial';
import { NO_SELECTION, type Selection } from './selection';
import { OWN_PLATFORM, type Target } from './target';

/** The kernel whose environment the panel displays. */
export interface Subject {
  source: Source;
  /** The notebook's name, or the kernelspec's. */
  title: string;
  /** The path of the notebook, relative to the folder that Jupyter shows. A console has none. */
  path?: string;
}

/** An environment that a person may choose. `title` is the name of its kernel, `runs` whether the kernel is running. */
export interface Choice extends Subject {
  prefix: string;
  name: string;
  runs: boolean;
}

/** The fields of the form that belong to one environment. */
export interface EnvironmentForm {
  reference: string;
  /** Whether a person wrote the reference; otherwise it is a suggestion. */
  edited: boolean;
  archive: string;
  /** What is left out of the image, and what is taken into it. */
  selection: Selection;
  /** Whether the environment's own variables, which may be secrets, go into the image. */
  variables: boolean;
  /** Whether the notebook goes into the image. */
  notebook: boolean;
  /** The images whose layers are reused, besides those of the settings and of the history. */
  cacheFrom: string;
}

/** The form of suggested tags: `2026-11-24`, `v1`, or a digest. */
export type TagStyle = 'date' | 'version' | 'digest';

export interface Form extends EnvironmentForm, Target {
  tagStyle: TagStyle;
  /** Empty until a person or a setting has chosen: see `destinationOf`. */
  destination: 'push' | 'load' | 'archive' | '';
  base: string;
  engine: Engine | '';
  /** The installer of the docker engine, and whether to pull a newer image of it. */
  installer: Installer | '';
  pull: boolean;
  include: string;
  strict: boolean;
  /** Whether the modules of a new image are imported after its build. */
  check: boolean;
}

/** The default values of the form. */
export const EMPTY_ENVIRONMENT_FORM: EnvironmentForm = { reference: '', edited: false, archive: '', selection: NO_SELECTION, variables: false, notebook: false, cacheFrom: '' };

export const EMPTY_FORM: Form = {
  ...EMPTY_ENVIRONMENT_FORM,
  ...OWN_PLATFORM,
  tagStyle: 'date',
  destination: '',
  base: '',
  engine: '',
  installer: '',
  pull: false,
  include: '',
  strict: false,
  check: true
};

export interface Comparison {
  before: Build;
  after: Build;
  changes: Change[] | null;
  /** Whether the files that belong to no package were compared, too. */
  filesCompared: boolean;
  /** The number of files that differ, but are not among the changes. */
  unlisted: number;
  fault: Fault | null;
}

/** The image that the name of the form has now, compared with the environment. */
export interface Existing {
  digest: string;
  /** The number of packages that differ; null if it is unknown. */
  changes: number | null;
}

export interface PanelState {
  status: Status | null;
  /** The user's logins for registries; null if they are not known yet. */
  logins: Logins['logins'] | null;
  /** Whether the user may push an image of the form's name; null if it is unknown. */
  permission: Permission | null;
  /** The reason why the server extension does not answer. */
  absent: Fault | null;
  subject: Subject | null;
  /** The kernel of the current notebook. */
  notebook: Subject | null;
  /** Whether the person has chosen the environment; otherwise it is that of the current notebook. */
  chosen: boolean;
  /** The environments to choose from; null if they are not known yet. */
  choices: Choice[] | null;
  choicesFault: Fault | null;
  /** Whether a person sees the panel: nothing is loaded for a hidden one. */
  attended: boolean;
  snapshot: Snapshot | null;
  snapshotFault: Fault | null;
  /** Whether the environment had changed when the person started a build, so that the build was not started. */
  outdated: boolean;
  existing: Existing | null;
  /** The licences of the packages; null if they are not known yet. */
  licenses: Licenses | null;
  /** Whether the environment is being read. */
  reading: boolean;
  /** Whether the plan is being compared with the registry. */
  planning: boolean;
  form: Form;
  starting: boolean;
  startFault: Fault | null;
  builds: Build[];
  /** The number of older builds in the server's history that are not in `builds`. */
  unlisted: number;
  /** The id of the displayed build; null if the environment is displayed. */
  shown: string | null;
  progress: Readonly<Record<string, BuildProgress>>;
  /** The connection for the events of each build, by the build's id. */
  connections: Readonly<Record<string, Connection>>;
  /** The displayed build, after another window has deleted it from the history. */
  forgotten: Build | null;
  /** The changes in the displayed build since the previous image. */
  since: Comparison | null;
  comparison: Comparison | null;
  /** What happened while the panel was closed or displayed another view, the oldest first. */
  news: readonly NewsItem[];
  /** The image that a person opens by its name; null if another view is displayed. */
  opened: OpenedImage | null;
  /** The image whose kernel the person wants, and what became of it. */
  trial: Trial | null;
  /** Whether the modules of images can be imported, by the build's id. */
  checks: Readonly<Record<string, Check>>;
}

export const INITIAL: PanelState = {
  status: null,
  logins: null,
  permission: null,
  absent: null,
  subject: null,
  notebook: null,
  chosen: false,
  choices: null,
  choicesFault: null,
  attended: false,
  snapshot: null,
  snapshotFault: null,
  outdated: false,
  existing: null,
  licenses: null,
  reading: false,
  planning: false,
  form: EMPTY_FORM,
  starting: false,
  startFault: null,
  builds: [],
  unlisted: 0,
  shown: null,
  progress: {},
  connections: {},
  forgotten: null,
  since: null,
  comparison: null,
  news: [],
  opened: null,
  trial: null,
  checks: {}
};

export function shownBuild(state: PanelState): Build | null {
  return state.builds.find(build => build.id === state.shown) ?? null;
}

export function progressOf(state: PanelState, id: string): BuildProgress {
  return state.progress[id] ?? NO_EVENTS;
}

export function connectionOf(state: PanelState, id: string): Connection {
  return state.connections[id] ?? 'open';
}

export function isOver(build: Pick<Build, 'state'>): boolean {
  return build.state !== 'queued' && build.state !== 'running';
}

/** The folder or the file that goes into /work: the folder of the form, or else the notebook if it was chosen. */
export function includeOf({ form, subject }: PanelState): string {
  return form.include || (form.notebook ? (subject?.path ?? '') : '');
}

/** The engine for a build of the form. */
export function engineOf({ form, status }: PanelState): Engine {
  return form.engine || status?.settings.engine || 'layers';
}

/** The builds that are running, then the builds that wait, in the order of the queue. */
export function activeBuilds({ builds }: PanelState): Build[] {
  return builds
    .filter(build => !isOver(build))
    .reverse()
    .sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
}

/** The build of the form's name that is the image of that name now; null if another person or another server pushed it. */
export function existingBuild({ builds, existing, form }: PanelState): Build | null {
  const isIt = ({ request, result }: Build): boolean =>
    request.push && result?.digest === existing?.digest && [request.reference, result?.reference].includes(form.reference);
  return (existing && builds.find(isIt)) || null;
}

/** Whether a build would replace an image of another environment, of the environment in another state, or on another base. */
export function replaces(state: PanelState): boolean {
  const before = existingBuild(state)?.request;
  const { existing, form, snapshot, status } = state;
  const isSame =
    before?.identity === snapshot?.identity &&
    before?.engine === engineOf(state) &&
    before.base === (form.base || (status?.settings.base_image ?? before.base));
  return existing !== null && !isSame;
}

/** The builds that made an image, the newest first. */
export function images(builds: readonly Build[]): Build[] {
  return builds.filter(build => build.state === 'finished' && build.command !== 'verify');
}

/** The newest image of an environment that is older than `before`; null if there is none, or if `prefix` is empty. */
export function previousImage(builds: readonly Build[], prefix: string, before = Infinity): Build | null {
  const ofSame = (build: Build): boolean => build.state === 'finished' && build.request.prefix === prefix;
  return (prefix && builds.find(build => ofSame(build) && build.created < before)) || null;
}

/** The builds, the newest first, with one build added or updated. */
export function withBuild(builds: readonly Build[], build: Build): Build[] {
  return sorted([newest(builds, build), ...builds.filter(other => other.id !== build.id)]);
}

/** The server's list of builds, with the unfinished builds and the displayed build, which the list may not contain. */
export function withBuilds({ builds, shown }: PanelState, list: readonly Build[]): Build[] {
  const listed = new Set(list.map(build => build.id));
  const others = builds.filter(build => !listed.has(build.id) && (!isOver(build) || build.id === shown));
  return sorted([...list.map(build => newest(builds, build)), ...others]);
}

/** The newer of two states of a build. An ended build never runs again, so that the state of a running build is older. */
function newest(known: readonly Build[], build: Build): Build {
  const before = known.find(each => each.id === build.id);
  return before && isOver(before) && !isOver(build) ? before : build;
}

function sorted(builds: Build[]): Build[] {
  return builds.sort((a, b) => b.created - a.created);
}
