/** How an image runs on the machine of the server: with an engine, without one, or not at all. */

import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Inspection, Way } from '../api/contract';
import { wayOf, type OpenedImage } from '../model/openedImage';
import { useSurroundings } from './context';
import { Notice } from './parts';

/** Why nothing of an image runs here; empty if it does. */
export function noWay(trans: TranslationBundle, opened: OpenedImage): string {
  return wayOf(opened) ? '' : trans.__('Nothing on the server’s machine can run an image.');
}

/** Says which way is used, and what differs with it. With two ways, the person chooses. */
export function Ways(props: { image: Inspection; opened: OpenedImage }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { image, opened } = props;
  const way = wayOf(opened);
  if (!way) {
    const message = trans.__('No engine answers, and there is no sandbox');
    const next = image.environment
      ? trans.__('Start Docker or Podman, or install bubblewrap. Or make a conda environment of the image, without a container: it is the last button here.')
      : trans.__('Start Docker or Podman, or install bubblewrap.');
    return <Notice kind="info" fault={{ code: '', message, hint: next }} />;
  }
  return (
    <>
      {image.ways.length > 1 ? (
        <label className="jp-CondaBuild-field">
          <span>{trans.__('How it runs')}</span>
          <select value={way} onChange={event => model.images.runWithoutEngine(event.target.value !== 'engine')}>
            {image.ways.map(each => (
              <option key={each} value={each}>
                {wayWord(trans, each)}
              </option>
            ))}
          </select>
        </label>
      ) : (
        way !== 'engine' && <p>{trans.__('No engine answers. It runs without one: %1.', wayWord(trans, way))}</p>
      )}
      {way !== 'engine' && (
        <p className="jp-CondaBuild-quiet">
          {trans.__('It has the network of the server’s machine, also its address 127.0.0.1, and no memory limit. Its files cannot be written; the folder of the notebook can.')}
        </p>
      )}
    </>
  );
}

function wayWord(trans: TranslationBundle, way: Way): string {
  return {
    engine: trans.__('in a container of Docker or Podman'),
    bubblewrap: trans.__('in a sandbox of bubblewrap'),
    apptainer: trans.__('in a container of Apptainer')
  }[way];
}
