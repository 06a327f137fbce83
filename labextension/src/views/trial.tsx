/** The current notebook in an image: that its kernel is added, why that failed, and the way back. */

import React from 'react';

import type { Build } from '../api/contract';
import { probed } from '../model/possible';
import { seenImageOf } from '../model/request';
import type { PanelState } from '../model/state';
import { sizeText } from '../model/units';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Link, Notice } from './parts';

/** @param props.missing - The bytes that the engine has to download; null if they are not known. */
export function TrialNotice(props: { state: PanelState; reference: string; missing: number | null }): JSX.Element {
  const { trans } = useSurroundings();
  const { trial } = props.state;
  const isThis = trial?.reference === props.reference;
  return (
    <>
      <div role="status" className="jp-CondaBuild-quiet jp-CondaBuild-doing">
        {trial &&
          isThis &&
          !trial.fault &&
          (props.missing
            ? trans.__('Downloading %1 and adding the kernel…', sizeText(props.missing))
            : trans.__('Adding the kernel…'))}
      </div>
      {isThis && trial.fault && <Notice kind="error" fault={trial.fault} />}
    </>
  );
}

/** The way back to the kernel that the current notebook had before. */
export function TrialLink(props: { state: PanelState }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { previous } = model.trials;
  const { trial } = props.state;
  return previous ? (
    <div className="jp-CondaBuild-notice jp-mod-success" role="status">
      <p>{trans.__('This notebook runs in the image.')}</p>
      <Link onClick={() => void model.trials.back()}>{trans.__('Back to %1', visible(previous.title))}</Link>
      {trial?.reference === '' && trial.fault && <Notice kind="error" fault={trial.fault} />}
    </div>
  ) : null;
}

/** Runs the current notebook in the image of a finished build. */
export function TryBuild(props: { build: Build; state: PanelState }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { build, state } = props;
  const image = seenImageOf(build);
  const isBusy = state.trial !== null && !state.trial.fault;
  if (model.trials.previous) {
    return <TrialLink state={state} />;
  }
  if (!state.notebook) {
    return null;
  }
  if (probed(state.status, 'engine')?.fault) {
    return (
      <button
        type="button"
        className="jp-CondaBuild-cancel jp-mod-styled"
        onClick={() => {
          model.openImage();
          void model.images.read(image.reference);
        }}
      >
        {trans.__('Run this notebook in the image…')}
      </button>
    );
  }
  return (
    <>
      <button
        type="button"
        className="jp-CondaBuild-cancel jp-mod-styled"
        aria-disabled={isBusy}
        onClick={() => {
          if (!isBusy) {
            void model.trials.runBuilt(image);
          }
        }}
      >
        {trans.__('Run this notebook in the image')}
      </button>
      <TrialNotice state={state} reference={image.reference} missing={null} />
    </>
  );
}
