/** What the panel remembers in this workspace: whether a build ran when the page was left. */

import type { IStateDB } from '@jupyterlab/statedb';

import type { PanelModel } from './model/panel';
import { activeBuild } from './model/state';
import { STATE } from './tokens';

/** Remember from now on. A build that ran when the page was left is looked for. */
export async function remember(model: PanelModel, states: IStateDB): Promise<void> {
  const found = await states.fetch(STATE).catch(() => undefined);
  const ran = typeof found === 'object' && found !== null && 'running' in found && found['running'] === true;
  let saved = ran;
  model.changed.connect(() => {
    const running = activeBuild(model.state) !== null;
    if (running !== saved) {
      saved = running;
      void states.save(STATE, { running });
    }
  });
  if (ran) {
    await model.loadBuilds();
  }
}
