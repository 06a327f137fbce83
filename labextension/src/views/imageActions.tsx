/** What a person can do with an image that is open: each button says why it is not possible here. */

import React, { useId, useState, type ReactNode } from 'react';

import type { Inspection } from '../api/contract';
import { startsLab, type OpenedImage } from '../model/openedImage';
import { probed } from '../model/possible';
import type { PanelState } from '../model/state';
import { sizeText } from '../model/units';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Opener } from './opener';
import { CopyButton, Link, Notice } from './parts';
import { TrialNotice, TrialLink } from './trial';
import { faultTitle } from './words';

export function ImageActions(props: { image: Inspection; opened: OpenedImage; state: PanelState }): JSX.Element {
  const { folder, isAtServer, model, trans } = useSurroundings();
  const { image, opened, state } = props;
  const fault = probed(state.status, 'engine')?.fault;
  const noEngine = fault ? faultTitle(trans, fault) : '';
  const noNotebook = state.notebook ? '' : trans.__('No notebook with a kernel is open.');
  const noLab = startsLab(image) ? '' : trans.__('The image does not start JupyterLab: it lacks the package jupyterlab.');
  const elsewhere = isAtServer
    ? ''
    : trans.__('JupyterLab would answer on the machine of the server only, and your browser is on another one.');
  const isBusy = state.trial !== null && !state.trial.fault;
  const installed = opened.kernels?.find(({ digest, reference }) => digest === image.digest && reference === image.reference);
  return (
    <div className="jp-CondaBuild-imageActions">
      <Action primary reason={noEngine || noNotebook} busy={isBusy} onClick={() => model.images.runNotebook()}>
        {trans.__('Run this notebook in the image')}
      </Action>
      {installed ? (
        <p className="jp-CondaBuild-quiet">
          {trans.__('In the launcher as %1', visible(installed.title))}{' '}
          <Link onClick={() => void model.images.removeKernel(installed.name)}>{trans.__('Remove')}</Link>
        </p>
      ) : (
        <Action reason={noEngine} busy={isBusy} onClick={() => model.images.install()}>
          {trans.__('Add as kernel')}
        </Action>
      )}
      <TrialNotice state={state} reference={image.reference} missing={image.missing} />
      <TrialLink state={state} />
      {opened.run ? (
        <Lab opened={opened} />
      ) : (
        <Action reason={noEngine || noLab || elsewhere} busy={false} onClick={() => model.images.runLab(folder())}>
          {trans.__('Run JupyterLab')}
        </Action>
      )}
      {opened.runFault && <Notice kind="error" fault={opened.runFault} />}
      <Action reason={image.environment ? trans.__('It has an environment where yours would be: the files of both would mix.') : ''} busy={false} onClick={() => model.buildOn(image.reference)}>
        {trans.__('Build on it')}
      </Action>
      <Recreate image={image} />
    </div>
  );
}

function Action(props: {
  /** Why it is not possible here; empty if it is. */
  reason: string;
  busy: boolean;
  primary?: boolean;
  onClick: () => void | Promise<void>;
  children: ReactNode;
}): JSX.Element {
  const id = useId();
  const { busy, children, onClick, primary, reason } = props;
  return (
    <div>
      <button
        type="button"
        className={primary ? 'jp-CondaBuild-go jp-mod-styled jp-mod-accept' : 'jp-CondaBuild-cancel jp-mod-styled'}
        disabled={reason !== ''}
        // A disabled button would lose the focus.
        aria-disabled={busy}
        aria-describedby={reason ? id : undefined}
        onClick={() => {
          if (!busy) {
            void onClick();
          }
        }}
      >
        {children}
      </button>
      {reason && (
        <p id={id} className="jp-CondaBuild-quiet">
          {reason}
        </p>
      )}
    </div>
  );
}

/** JupyterLab in a container: that it starts, or its address. */
function Lab(props: { opened: OpenedImage }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { run } = props.opened;
  if (!run) {
    return null;
  }
  return (
    <div className="jp-CondaBuild-notice jp-mod-info" role="status">
      {run.address ? (
        <p>
          <a href={run.address} target="_blank" rel="noreferrer">
            {trans.__('Open JupyterLab in the image')}
          </a>
        </p>
      ) : (
        <p>
          {run.total > 0
            ? trans.__('Downloading the image: %1 of %2', sizeText(run.complete), sizeText(run.total))
            : trans.__('JupyterLab is starting…')}
        </p>
      )}
      <Link onClick={() => void model.images.stopLab()}>{trans.__('Stop JupyterLab')}</Link>
    </div>
  );
}

/** The command that makes a conda environment of what is in the image. */
function Recreate(props: { image: Inspection }): JSX.Element | null {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
  const { image } = props;
  if (!image.environment) {
    return null;
  }
  const text = `jupyter condabuild recreate ${image.reference} ./env`;
  return (
    <div>
      <Opener open={open} setOpen={setOpen} controls={id}>
        {trans.__('Recreate as conda environment')} {open ? '▴' : '▾'}
      </Opener>
      <div id={id}>
        {open && (
          <>
            <p className="jp-CondaBuild-quiet">
              {trans.__('Run this in a terminal of the server’s machine. It makes an environment in a new folder, without a container.')}
            </p>
            <div className="jp-CondaBuild-code">
              <pre tabIndex={0}>{text}</pre>
              <CopyButton text={text} label={trans.__('Copy the command')} />
            </div>
          </>
        )}
      </div>
    </div>
  );
}
