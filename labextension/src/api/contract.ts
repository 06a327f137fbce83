/** The REST contract, as jupyter_condabuild/server/openapi.yaml has it: sizes in bytes, times in seconds since the epoch. */

export interface Fault {
  code: string;
  message: string;
  hint: string;
}

export type Engine = 'layers' | 'docker';

export interface Status {
  version: string;
  settings: {
    registry: string;
    engine: Engine;
    base_image: string;
    cache_from: string[];
    max_concurrent_builds: number;
  };
  probes: Probe[];
}

export interface Probe {
  subject: 'store' | 'registry' | 'engine' | 'base';
  name: string;
  works: boolean;
  detail: string;
  fault: Fault | null;
  seconds: number;
}

/** Whose environment: exactly one is given. */
export type Source = { kernel_id: string } | { kernel_name: string } | { prefix: string };

export interface CondaPackage {
  name: string;
  version: string;
  build: string;
  channel: string;
  size: number;
}

export interface PipPackage {
  name: string;
  version: string;
  editable: boolean;
  url: string;
}

export interface Paths {
  count: number;
  bytes: number;
  first: { path: string; size: number; package: string }[];
}

export interface PlannedLayer {
  key: string;
  packages: string[];
  size: number;
  state: 'in registry' | 'in store' | 'to build';
}

export interface Plan {
  summary: string;
  packages: number;
  packages_changed: number;
  bytes_total: number;
  bytes_to_push: number;
  layers_reused: number;
  compared: boolean;
  unavailable: Fault | null;
  layers: PlannedLayer[];
}

export interface Snapshot {
  digest: string;
  name: string;
  prefix: string;
  platform: string;
  python: string;
  requested: string[];
  channels: { url: string; packages: number }[];
  conda: CondaPackage[];
  pip: PipPackage[];
  drift: { modified: Paths; missing: Paths; untracked: Paths };
  warnings: Fault[];
  plan: Plan;
}

export interface BuildOptions {
  reference: string;
  push: boolean;
  load: boolean;
  archive: string;
  engine?: Engine;
  base?: string;
  cache_from?: string[];
  include?: string;
  strict?: boolean;
  variables?: boolean;
  again?: boolean;
}

export type BuildRequest = (Source | { lockfile: string }) & BuildOptions;

export type BuildState = 'queued' | 'running' | 'finished' | 'failed' | 'cancelled' | 'interrupted';

export interface Asked {
  prefix: string;
  lockfile: string;
  reference: string;
  push: boolean;
  load: boolean;
  archive: string;
  engine: Engine;
  base: string;
  cache_from: string[];
  include: string;
  strict: boolean;
  variables: boolean;
}

export interface Finished {
  reference: string;
  digest: string;
  size: number;
  bytes_pushed: number;
  layers: number;
  layers_reused: number;
  seconds: number;
  archive: string;
  environment: string;
  command: string[];
}

export interface ShareCommand {
  tool: string;
  title: string;
  text: string;
  note: string;
}

export interface Build {
  id: string;
  state: BuildState;
  cancelling: boolean;
  position: number | null;
  created: number;
  started: number | null;
  ended: number | null;
  seconds: number | null;
  request: Asked;
  kernel_id: string;
  kernel_name: string;
  result: Finished | null;
  error: Fault | null;
  share: ShareCommand[];
}

export type PhaseName = 'snapshot' | 'lock' | 'plan' | 'base' | 'link' | 'layers' | 'push' | 'load' | 'export';

export type LayerState = 'reused-remote' | 'reused-local' | 'built' | 'pushed' | 'mounted';

interface Numbered {
  seq: number;
  time: number;
}

export type PhaseEvent = Numbered & {
  type: 'phase';
  name: PhaseName;
  state: 'started' | 'done';
  seconds: number | null;
};
export type LogEvent = Numbered & { type: 'log'; text: string; stream: 'stdout' | 'stderr' };
export type ProgressEvent = Numbered & {
  type: 'progress';
  subject: string;
  complete: number;
  total: number;
  unit: 'bytes' | 'packages';
};
export type LayerEvent = Numbered & {
  type: 'layer';
  key: string;
  packages: string[];
  size: number;
  state: LayerState;
};
export type WarningEvent = Numbered & Fault & { type: 'warning' };
export type FinishedEvent = Numbered & Finished & { type: 'finished' };
export type FailedEvent = Numbered & Fault & { type: 'failed' };
export type CancelledEvent = Numbered & { type: 'cancelled' };

/** What happens in a build; exactly one of the last three ends it. */
export type BuildEvent =
  | PhaseEvent
  | LogEvent
  | ProgressEvent
  | LayerEvent
  | WarningEvent
  | FinishedEvent
  | FailedEvent
  | CancelledEvent;
