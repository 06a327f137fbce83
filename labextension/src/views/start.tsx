/** The part of the panel that is always in sight: the button that starts a build, and why it did not or cannot start one. */

import React from 'react';

import { destinationOf, isMade, obstacleOf, type Destination } from '../model/possible';
import { replaces, shownBuild, type PanelState } from '../model/state';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Link, Notice } from './parts';

export function Start({ state }: { state: PanelState }): JSX.Element | null {
  const { startFault } = state;
  const before = !state.absent && !state.comparison && !state.opened && !shownBuild(state) && state.snapshot !== null;
  if (state.absent || (!startFault && !before)) {
    return null;
  }
  return (
    <div className="jp-CondaBuild-foot">
      {startFault && <Notice kind="error" fault={startFault} />}
      {before && <BuildButton state={state} />}
    </div>
  );
}

function BuildButton({ state }: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { outdated, starting } = state;
  const obstacle = obstacleOf(state);
  const words: Record<Destination, string> = {
    push: replaces(state) ? trans.__('Build and replace') : trans.__('Build and push'),
    load: trans.__('Build and load into Docker'),
    archive: trans.__('Build and save as archive')
  };
  return (
    <>
      {obstacle?.reason === 'fault' && (
        <Notice kind="error" fault={obstacle.fault}>
          {obstacle.instead.some(base => !isMade(base)) && <p>{trans.__('An image of the same name is nearby. You decide whether it is the same image.')}</p>}
          {obstacle.instead.map(base => (
            <p key={base}>
              <Link onClick={() => model.edit({ base })}>{isMade(base) ? trans.__('Make %1 from packages of Debian', base) : trans.__('Use %1', base)}</Link>
            </p>
          ))}
          <Link onClick={() => void model.refresh()}>{trans.__('Try again')}</Link>
        </Notice>
      )}
      {obstacle?.reason === 'apt' && (
        <p className="jp-CondaBuild-problem" role="alert">
          {trans.__('No package of Debian has this name: %1. Write it as libgl1, or with a version as libgl1=1.6.0-1.', visible(obstacle.names.join(', ')))}
        </p>
      )}
      {outdated && (
        <Notice
          kind="warning"
          fault={{
            code: 'outdated',
            message: trans.__('The environment has changed, and nothing is built yet.'),
            hint: trans.__('Look at what goes in now, and start again.')
          }}
        />
      )}
      <button
        type="button"
        className="jp-CondaBuild-go jp-mod-styled jp-mod-accept"
        disabled={obstacle !== null}
        // A disabled button would lose the focus.
        aria-disabled={starting}
        onClick={() => !starting && void model.start()}
      >
        {starting ? trans.__('Starting…') : words[destinationOf(state)]}
      </button>
    </>
  );
}
