/** Stores in the workspace whether a build was running when the page was closed. */

import type { IStateDB } from '@jupyterlab/statedb';

import type { PanelModel } from './model/panel';
import { activeBuilds } from './model/state';
import { STATE } from './tokens';

/** Store the value from now on, and load the builds if a build was running when the page was closed. */
export async function remember(model: PanelModel, states: IStateDB): Promise<void> {
  const stored = await states.fetch(STATE).catch(() => undefined);
  const ran = typeof stored === 'object' && stored !== null && 'running' in stored && stored['running'] === true;
  let saved = ran;
  model.changed.connect(() => {
    const running = activeBuilds(model.state).length > 0;
    if (running !== saved) {
      saved = running;
      void states.save(STATE, { running });
    }
  });
  if (ran) {
    await model.loadBuilds();
  }
}
