/** What the panel remembers in this workspace: builds taken off the list, and whether one ran. */

import type { IStateDB } from '@jupyterlab/statedb';
import type { ReadonlyPartialJSONObject, ReadonlyPartialJSONValue } from '@lumino/coreutils';

import type { PanelModel } from './model/panel';
import { activeBuild } from './model/state';
import { STATE } from './tokens';

/** Restore, and remember from now on. A build that ran when the page was left is looked for. */
export async function remember(model: PanelModel, states: IStateDB): Promise<void> {
  const found = await states.fetch(STATE).catch(() => undefined);
  const known: ReadonlyPartialJSONObject = isObject(found) ? found : {};
  if (Array.isArray(known['hidden'])) {
    model.restoreHidden(known['hidden'].filter(id => typeof id === 'string'));
  }
  let saved = JSON.stringify(known);
  model.changed.connect(() => {
    const { state } = model;
    const memory = { hidden: state.hidden.slice(-500), running: activeBuild(state) !== null };
    const text = JSON.stringify(memory);
    if (text !== saved) {
      saved = text;
      void states.save(STATE, memory);
    }
  });
  if (known['running'] === true) {
    await model.loadBuilds();
  }
}

function isObject(value: ReadonlyPartialJSONValue | undefined): value is ReadonlyPartialJSONObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
