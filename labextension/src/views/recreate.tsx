/** A conda environment of what is in an image: its folder, its progress, and how it is used. */

import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import type { Inspection, Recreation } from '../api/contract';
import type { OpenedImage } from '../model/openedImage';
import { suggestedFolder } from '../model/recreations';
import { useSurroundings } from './context';
import { Opener } from './opener';
import { Bar, CopyButton, Link, Notice } from './parts';

export function Recreate(props: { image: Inspection; opened: OpenedImage }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { image, opened } = props;
  const { recreation, recreationFault } = opened;
  const [open, setOpen] = useState(false);
  const [folder, setFolder] = useState(() => suggestedFolder(image.reference));
  const id = useId();
  if (!image.environment) {
    return null;
  }
  if (recreation) {
    return recreation.state === 'running' ? <Progress recreation={recreation} /> : <Ready recreation={recreation} />;
  }
  return (
    <div>
      <Opener open={open} setOpen={setOpen} controls={id}>
        {trans.__('Recreate as conda environment')} {open ? '▴' : '▾'}
      </Opener>
      <div id={id}>
        {open && (
          <form
            className="jp-CondaBuild-options"
            onSubmit={event => {
              event.preventDefault();
              void model.images.recreate(folder);
            }}
          >
            <p className="jp-CondaBuild-quiet">
              {trans.__('It makes a conda environment in a new folder, without a container. Its programs have all your rights once you use it.')}
            </p>
            <label className="jp-CondaBuild-field">
              <span>{trans.__('Folder, relative to the one that Jupyter shows first')}</span>
              <input value={folder} spellCheck={false} onChange={event => setFolder(event.target.value)} />
            </label>
            <button type="submit" className="jp-CondaBuild-cancel jp-mod-styled" disabled={!folder.trim()}>
              {trans.__('Make the environment')}
            </button>
          </form>
        )}
      </div>
      {recreationFault && <Notice kind="error" fault={recreationFault} />}
    </div>
  );
}

function Progress(props: { recreation: Recreation }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { complete, step, total } = props.recreation;
  return (
    <div className="jp-CondaBuild-notice jp-mod-info">
      <p role="status">{stepText(trans, step)}</p>
      <Bar
        fraction={total > 0 ? complete / total : null}
        label={trans.__('Recreate as conda environment')}
        text={total > 0 ? trans.__('%1 of %2 packages', complete, total) : undefined}
      />
      <Link onClick={() => void model.images.cancelRecreation()} label={trans.__('Cancel the environment')}>
        {trans.__('Cancel')}
      </Link>
    </div>
  );
}

function stepText(trans: TranslationBundle, step: string): string {
  switch (step) {
    case 'fetch':
      return trans.__('Fetching the packages…');
    case 'link':
      return trans.__('Linking the packages…');
    default:
      return trans.__('Reading the image…');
  }
}

function Ready(props: { recreation: Recreation }): JSX.Element {
  const { trans } = useSurroundings();
  const { activate, add_kernel } = props.recreation;
  return (
    <div className="jp-CondaBuild-notice jp-mod-success" role="status">
      <p>{trans.__('The environment is ready. Activate it in a terminal:')}</p>
      <Command text={activate} />
      {add_kernel && (
        <>
          <p>{trans.__('This adds its kernel to the launcher:')}</p>
          <Command text={add_kernel} />
        </>
      )}
    </div>
  );
}

function Command(props: { text: string }): JSX.Element {
  const { trans } = useSurroundings();
  return (
    <div className="jp-CondaBuild-code">
      <pre tabIndex={0}>{props.text}</pre>
      <CopyButton text={props.text} label={trans.__('Copy the command')} />
    </div>
  );
}
