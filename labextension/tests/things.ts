/** A build, a snapshot and a status in the form of the server. Tests can change them. */

import type { Build, Check, Finished, ImageKernel, Inspection, Recreation, Snapshot, Status } from '../src/api/contract';

export const DIGEST = `sha256:${'ab'.repeat(32)}`;

export const RESULT: Finished = {
  reference: 'registry.lab.org/team/sci:1',
  digest: DIGEST,
  size: 1000,
  bytes_pushed: 100,
  layers: 2,
  layers_reused: 1,
  seconds: 1.9,
  archive: '',
  environment: DIGEST,
  command: ['jupyter', 'lab'],
  stale: 0,
  proved: 0,
  unproved: 0,
  signature: '',
  signer: '',
  proof: null,
    sent: null,
    images: null,
    shared: 0
};

export function aBuild(change: Partial<Build> = {}): Build {
  return {
    id: '0123456789abcdef',
    command: 'build',
    state: 'failed',
    cancelling: false,
    position: null,
    created: 1000,
    started: 1000,
    ended: null,
    seconds: 1,
    request: {
      prefix: '/opt/sci',
      lockfile: '',
      reference: 'registry.lab.org/team/sci:1',
      push: true,
      load: false,
      archive: '',
      engine: 'layers',
      base: 'debian:12-slim',
      platform: '',
      platforms: [],
      cuda: '',
      strict_versions: 'as-requested',
      leave_out: [],
      environment: '',
      category: [],
      pull: false,
      installer: 'micromamba',
      installer_image: '',
      cache_from: [],
      include: '',
      strict: false,
      variables: false,
      allow_secret: [],
      include_outside: [],
      without_outside: [],
      exclude: [],
      exclude_editable: [],
      apt: [],
      identity: '',
      stack: false,
      bytecode: true,
      target: '',
      keep: 0,
      without: []
    },
    kernel_id: '',
    kernel_name: '',
    result: null,
    error: null,
    share: [],
    ...change
  };
}

export function aSnapshot(change: Partial<Snapshot> = {}): Snapshot {
  const none = { count: 0, bytes: 0, first: [] };
  return {
    digest: DIGEST,
    identity: change.digest ?? DIGEST,
    stamp: 'stamp',
    name: 'sci',
    prefix: '/opt/sci',
    platform: 'linux-64',
    python: '3.11.7',
    requested: [],
    channels: [],
    conda: [],
    pip: [],
    drift: { modified: none, missing: none, untracked: none, empty: none },
    editables: [],
    excluded: none,
    credentials: [],
    secrets: [],
    outside: [],
    substitution: null,
    other_substitutions: [],
    warnings: [],
    plan: {
      engine: 'layers',
      summary: '',
      packages: 0,
      packages_changed: 0,
      bytes_total: 0,
      bytes_to_push: 0,
      bytes_to_fetch: 0,
      unmeasured: [],
      base_known: true,
      seconds: 1,
      layers_reused: 0,
      compared: true,
      unavailable: null,
      layers: [],
      steps: [],
      caches: [],
      current: '',
      signature: '',
      signer: ''
    },
    ...change
  };
}

export function aStatus(): Status {
  return {
    version: '0.1.0',
    settings: {
      registry: 'registry.lab.org/team',
      engine: 'layers',
      base_image: 'debian:12-slim',
      platforms: [],
      cache_from: ['registry.lab.org/team/base:1'],
      apt: [],
      max_concurrent_builds: 1
    },
    probes: []
  };
}

export function anInspection(change: Partial<Inspection> = {}): Inspection {
  return {
    reference: 'registry.lab.org/team/env:v1',
    digest: DIGEST,
    platform: 'linux/amd64',
    images: {},
    size: 1000,
    missing: 400,
    environment: DIGEST,
    python: '3.12.4',
    conda_packages: 1,
    pip_packages: 0,
    packages: [{ manager: 'conda', name: 'numpy', version: '2.0' }],
    requested: ['numpy'],
    command: ['jupyter', 'lab'],
    base: 'debian:12-slim',
    base_digest: DIGEST,
    wants_gpu: false,
    unproved: [],
    voucher: '',
    ways: ['engine'],
    signature: 'unsigned',
    signer: '',
    ...change
  };
}

export function aKernel(change: Partial<ImageKernel> = {}): ImageKernel {
  return {
    name: 'env-v1-0123abcd',
    title: 'team/env:v1',
    language: 'python',
    reference: 'registry.lab.org/team/env:v1',
    digest: DIGEST,
    folder: '/home/ada/.local/share/jupyter/kernels/env-v1-0123abcd',
    way: 'engine',
    news: '',
    ...change
  };
}

export function aCheck(change: Partial<Check> = {}): Check {
  return {
    build: '0123456789abcdef',
    notebook: '',
    state: 'running',
    started: 1000,
    step: '',
    complete: 0,
    total: 0,
    missing: 0,
    imported: [],
    failed: [],
    fault: null,
    ...change
  };
}

export function aRecreation(change: Partial<Recreation> = {}): Recreation {
  return {
    id: '12'.repeat(8),
    reference: 'registry.lab.org/team/env:v1',
    digest: DIGEST,
    prefix: '/home/ada/envs/env-v1',
    state: 'running',
    step: '',
    complete: 0,
    total: 0,
    activate: '',
    add_kernel: '',
    fault: null,
    ...change
  };
}
