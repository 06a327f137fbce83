/** The types of the REST API. `npm run contract` generates `openapi.ts` from jupyter_condabuild/server/openapi.yaml. */

import type { components } from './openapi';

type Schemas = components['schemas'];

export type Fault = Schemas['Error'];
export type Warning = Schemas['Warning'];
export type Status = Schemas['Status'];
export type Probe = Schemas['Probe'];
export type Engine = Schemas['Engine'];
export type Installer = Schemas['Installer'];

export type Environments = Schemas['Environments'];
export type Snapshot = Schemas['Snapshot'];
export type Plan = Schemas['Plan'];
export type PlannedLayer = Schemas['PlannedLayer'];
export type Substitution = Schemas['Substitution'];
export type SubstitutedPackage = Schemas['SubstitutedPackage'];
export type Stamp = Schemas['Stamp'];
export type Licenses = Schemas['Licenses'];
export type LicensedPackage = Schemas['LicensedPackage'];
export type Difference = Schemas['Difference'];
export type Change = Schemas['Change'];

export type Build = Schemas['Build'];
export type Builds = Schemas['Builds'];
export type BuildState = Build['state'];
export type Asked = Schemas['Asked'];
export type Finished = Schemas['Finished'];
export type ShareCommand = Schemas['ShareCommand'];

/** The environment of a request. Exactly one member is given, which the generated types cannot express. */
export type Source = { kernel_id: string } | { kernel_name: string } | { prefix: string };

/** One of two things that are compared. */
export type Side = Source | { lockfile: string } | { reference: string } | { build: string };

type Sourceless<Request> = Omit<Request, 'kernel_id' | 'kernel_name' | 'prefix' | 'lockfile'>;

export type SnapshotRequest = Source & Sourceless<Schemas['SnapshotRequest']>;
export type BuildRequest =
  | ((Source | { lockfile: string }) & Sourceless<Schemas['BuildCommand']>)
  | ((Source | { lockfile: string }) & Sourceless<Schemas['BaseCommand']>)
  | Schemas['RebaseCommand']
  | Schemas['VerifyCommand'];

export type ExportRequest = (Source | { lockfile: string }) & Sourceless<Schemas['ExportRequest']>;
export type Export = Schemas['Export'];
export type ExportKind = Schemas['ExportRequest']['kind'];
export type LockfileWriting = Schemas['LockfileWriting'];
export type LockFormat = NonNullable<LockfileWriting['format']>;
export type Written = Schemas['Written'];

export type Logins = Schemas['Logins'];
export type Permission = Schemas['Permission'];
export type Login = Schemas['Login'];
export type LoginRequest = Schemas['LoginRequest'];

export type Inspection = Schemas['Inspection'];
export type ImageKernel = Schemas['ImageKernel'];
export type ImageKernels = Schemas['ImageKernels'];
export type ImageRun = Schemas['Run'];
export type Recreation = Schemas['Recreation'];
export type RecreationRequest = Schemas['RecreationRequest'];
export type Check = Schemas['Check'];
export type CheckRequest = Schemas['CheckRequest'];
/** How an image runs. */
export type Way = Schemas['Way'];
/** An image that a person has seen: its name, the digest of its description, and whether it runs without an engine. */
export type SeenImage = Pick<Schemas['KernelInstallation'], 'reference' | 'seen' | 'without_engine'>;

export type Update = Schemas['Update'];
export type NewEvents = Schemas['Updates'];
/** An event of a build; exactly one `finished`, `failed` or `cancelled` ends it. */
export type BuildEvent = Schemas['Event'];
export type PhaseName = Schemas['PhaseEvent']['name'];
export type LayerState = Schemas['LayerEvent']['state'];
