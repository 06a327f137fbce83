/** What a person can do with an image that is open: each button says why it is not possible here. */

import React, { useId, type ReactNode } from 'react';

import type { Inspection } from '../api/contract';
import { startsLab, wayOf, type OpenedImage } from '../model/openedImage';
import type { PanelState } from '../model/state';
import { sizeText } from '../model/units';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Link, Notice } from './parts';
import { Recreate } from './recreate';
import { TrialNotice, TrialLink } from './trial';
import { noWay, Ways } from './ways';

export function ImageActions(props: { image: Inspection; opened: OpenedImage; state: PanelState }): JSX.Element {
  const { folder, isAtServer, model, trans } = useSurroundings();
  const { image, opened, state } = props;
  const way = wayOf(opened);
  const nowhere = noWay(trans, opened);
  const noNotebook = state.notebook ? '' : trans.__('No notebook with a kernel is open.');
  const noLab = startsLab(image) ? '' : trans.__('The image does not start JupyterLab: it lacks the package jupyterlab.');
  const elsewhere = isAtServer
    ? ''
    : trans.__('JupyterLab would answer on the machine of the server only, and your browser is on another one.');
  const isBusy = state.trial !== null && !state.trial.fault;
  const installed = opened.kernels?.find(
    kernel => kernel.digest === image.digest && kernel.reference === image.reference && (!way || kernel.way === way)
  );
  return (
    <div className="jp-CondaBuild-imageActions">
      <Ways image={image} opened={opened} />
      <Action primary reason={nowhere || noNotebook} busy={isBusy} onClick={() => model.images.runNotebook()}>
        {trans.__('Run this notebook in the image')}
      </Action>
      {installed ? (
        <p className="jp-CondaBuild-quiet">
          {trans.__('In the launcher as %1', visible(installed.title))}{' '}
          <Link onClick={() => void model.images.removeKernel(installed.name)}>{trans.__('Remove')}</Link>
        </p>
      ) : (
        <Action reason={nowhere} busy={isBusy} onClick={() => model.images.install()}>
          {trans.__('Add as kernel')}
        </Action>
      )}
      <TrialNotice state={state} reference={image.reference} missing={way === 'engine' ? image.missing : null} />
      <TrialLink state={state} />
      {opened.run ? (
        <Lab opened={opened} />
      ) : (
        <Action reason={nowhere || noLab || elsewhere} busy={false} onClick={() => model.images.runLab(folder())}>
          {trans.__('Run JupyterLab')}
        </Action>
      )}
      {opened.runFault && <Notice kind="error" fault={opened.runFault} />}
      <Action reason={image.environment ? trans.__('It has an environment where yours would be: the files of both would mix.') : ''} busy={false} onClick={() => model.buildOn(image.reference)}>
        {trans.__('Build on it')}
      </Action>
      <Recreate key={image.digest} image={image} opened={opened} />
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
