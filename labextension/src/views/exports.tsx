/** The files that build or run the image elsewhere, and its lock file: saved in the workspace, or downloaded. */

import React, { useId, useState } from 'react';

import type { ExportKind, Fault, LockFormat } from '../api/contract';
import { KINDS, LOCK_FILES, SBOM_KINDS, type Exported, type Result, type Wanted } from '../model/exports';
import { faultOf } from '../model/fault';
import { tar } from '../model/tar';
import { useSurroundings } from './context';
import { Link, Notice } from './parts';

const NAMES: Readonly<Record<ExportKind, string>> = {
  dockerfile: 'Dockerfile',
  'github-actions': 'GitHub Actions',
  'gitlab-ci': 'GitLab CI',
  compose: 'Compose',
  kubernetes: 'Kubernetes',
  apptainer: 'Apptainer',
  slurm: 'Slurm',
  devcontainer: 'Dev Container',
  jupyterhub: 'JupyterHub',
  'jupyter-scheduler': 'Jupyter Scheduler',
  binder: 'Binder',
  spdx: 'SPDX',
  cyclonedx: 'CycloneDX'
};

export function Exports(props: { exported: Exported }): JSX.Element {
  const { ask, confirm, download, folder, model, showFile, trans } = useSurroundings();
  const id = useId();
  const [wanted, setWanted] = useState<Wanted>('dockerfile');
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const [done, setDone] = useState<Omit<Result, 'files'> | null>(null);
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setFault(null);
    setDone(null);
    try {
      await work();
    } catch (error) {
      setFault(faultOf(error));
    }
    setBusy(false);
  };
  const take = async (): Promise<void> => {
    const { files, next, warnings } = await model.exports.texts(props.exported, wanted);
    const [only] = files;
    if (files.length === 1 && only) {
      download(only.path.split('/').pop() ?? wanted, only.text);
    } else {
      download(`${wanted}.tar`, tar(files));
    }
    setDone({ written: [], next, warnings });
  };
  const save = async (): Promise<void> => {
    const [place] =
      (await ask({
        title: trans.__('Save in the workspace'),
        fields: [{ label: trans.__('Folder, relative to the one that Jupyter shows first'), text: folder() }],
        yes: trans.__('Save')
      })) ?? [];
    if (!place) {
      return;
    }
    try {
      setDone(await model.exports.save(props.exported, wanted, { folder: place, replace: false }));
    } catch (error) {
      const { code, message } = faultOf(error);
      if (code !== 'files_exist') {
        throw error;
      }
      const question = { title: trans.__('Replace the files?'), text: message, yes: trans.__('Replace'), no: trans.__('Keep') };
      if (await confirm(question)) {
        setDone(await model.exports.save(props.exported, wanted, { folder: place, replace: true }));
      }
    }
  };
  const shown = done?.written.find(path => !path.split('/').some(part => part.startsWith('.')));
  return (
    <div className="jp-CondaBuild-options">
      <label className="jp-CondaBuild-field" htmlFor={id}>
        <span>{trans.__('Files')}</span>
        <select id={id} value={wanted} onChange={event => setWanted(event.target.value as Wanted)}>
          <optgroup label={trans.__('To build or run the image')}>
            {KINDS.map(kind => (
              <option key={kind} value={kind}>
                {NAMES[kind]}
              </option>
            ))}
          </optgroup>
          <optgroup label={trans.__('Lock file')}>
            {(Object.keys(LOCK_FILES) as LockFormat[]).map(format => (
              <option key={format} value={`lock ${format}`}>
                {LOCK_FILES[format]}
              </option>
            ))}
          </optgroup>
          <optgroup label="SBOM">
            {SBOM_KINDS.map(kind => (
              <option key={kind} value={kind}>
                {NAMES[kind]}
              </option>
            ))}
          </optgroup>
        </select>
      </label>
      <div className="jp-CondaBuild-links">
        <Link onClick={() => !busy && void attempt(save)}>{trans.__('Save in the workspace…')}</Link>
        <Link onClick={() => !busy && void attempt(take)}>{trans.__('Download')}</Link>
      </div>
      {fault && <Notice kind="error" fault={fault} />}
      {done && (
        <div role="status" className="jp-CondaBuild-quiet">
          {done.written.length > 0 && <p>{trans.__('Saved: %1', done.written.join(', '))}</p>}
          {done.warnings
            .filter(({ code }) => code === 'not-installable')
            .map(warning => (
              <Notice key={warning.message} kind="warning" fault={warning} />
            ))}
          {done.next && <p>{done.next}</p>}
          {shown && <Link onClick={() => showFile(shown)}>{trans.__('Show in the file browser')}</Link>}
        </div>
      )}
    </div>
  );
}
