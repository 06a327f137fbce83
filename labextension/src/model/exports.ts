/** The files that build or run an image elsewhere, and lock files: as texts, or written into a folder of the workspace. */

import type { Export, ExportKind, LockFormat } from '../api/contract';
import type { Server } from '../api/server';

export interface ExportedFile {
  path: string;
  text: string;
  executable: boolean;
}

/** The environment of the files, and the name of the image. `lockfile` is the digest of the lock file. */
export interface Exported {
  lockfile: string;
  reference: string;
  /** The base image; that of the settings if there is none. */
  base?: string;
}

/** The files, their paths if they were written, and the server's advice for them. */
export type Result = Omit<Export, 'files'> & { files: ExportedFile[] };

/** What a person exports: files of a kind, or a lock file in a format. */
export type Wanted = ExportKind | `lock ${LockFormat}`;

export const KINDS: readonly ExportKind[] = [
  'dockerfile',
  'github-actions',
  'gitlab-ci',
  'compose',
  'kubernetes',
  'apptainer',
  'slurm',
  'devcontainer',
  'jupyterhub',
  'jupyter-scheduler',
  'binder'
];
export const SBOM_KINDS: readonly ExportKind[] = ['spdx', 'cyclonedx'];

/** The name of the file in each format: those that tools expect. */
export const LOCK_FILES: Readonly<Record<LockFormat, string>> = {
  'conda-lock': 'conda-lock.yml',
  explicit: 'explicit.txt',
  pixi: 'pixi.lock',
  environment: 'environment.yml'
};

const NOTHING: Result = { files: [], next: '', warnings: [], written: [] };

export class ExportedFiles {
  constructor(private readonly server: Server) {}

  /** The texts of files; none is written. */
  async texts(exported: Exported, wanted: Wanted): Promise<Result> {
    const format = formatOf(wanted);
    if (format) {
      const text = await this.server.lockfile(exported.lockfile, format);
      return { ...NOTHING, files: [{ path: LOCK_FILES[format], text, executable: false }] };
    }
    return this.server.exports({ ...exported, kind: wanted as ExportKind });
  }

  /** Write the files into a folder below the server's root folder. */
  async save(exported: Exported, wanted: Wanted, place: { folder: string; replace: boolean }): Promise<Result> {
    const format = formatOf(wanted);
    if (format) {
      return { ...NOTHING, ...(await this.server.writeLockfile(exported.lockfile, { format, ...place })) };
    }
    return this.server.exports({ ...exported, kind: wanted as ExportKind, ...place });
  }
}

function formatOf(wanted: Wanted): LockFormat | null {
  return wanted.startsWith('lock ') ? (wanted.slice('lock '.length) as LockFormat) : null;
}
