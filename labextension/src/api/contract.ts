/** The REST contract in the panel's words. `openapi.ts` is made of jupyter_condabuild/server/openapi.yaml by `npm run contract`. */

import type { components } from './openapi';

type Schemas = components['schemas'];

export type Fault = Schemas['Error'];
export type Status = Schemas['Status'];
export type Engine = Schemas['Engine'];
export type Installer = Schemas['Installer'];

export type Snapshot = Schemas['Snapshot'];
export type PlannedLayer = Schemas['PlannedLayer'];
export type Difference = Schemas['Difference'];
export type Change = Schemas['Change'];

export type Build = Schemas['Build'];
export type BuildState = Build['state'];
export type Asked = Schemas['Asked'];
export type Finished = Schemas['Finished'];
export type ShareCommand = Schemas['ShareCommand'];

/** Whose environment: exactly one is given, which the generated types cannot say. */
export type Source = { kernel_id: string } | { kernel_name: string } | { prefix: string };

type Sourceless<Request> = Omit<Request, 'kernel_id' | 'kernel_name' | 'prefix' | 'lockfile'>;

export type SnapshotRequest = Source & Sourceless<Schemas['SnapshotRequest']>;
export type BuildRequest =
  | ((Source | { lockfile: string }) & Sourceless<Schemas['BuildCommand']>)
  | ((Source | { lockfile: string }) & Sourceless<Schemas['BaseCommand']>)
  | Schemas['RebaseCommand']
  | Schemas['VerifyCommand'];

/** What happens in a build; exactly one of the last three ends it. */
export type BuildEvent = Schemas['Event'];
export type PhaseEvent = Schemas['PhaseEvent'];
export type PhaseName = PhaseEvent['name'];
export type LogEvent = Schemas['LogEvent'];
export type LayerEvent = Schemas['LayerEvent'];
export type LayerState = LayerEvent['state'];
export type ProgressEvent = Schemas['ProgressEvent'];
