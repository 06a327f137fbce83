/** Stores in the workspace what a person chose for each environment, and whether a build was running when the page was closed. */

import type { IStateDB } from '@jupyterlab/statedb';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { selectionMembers, decisions, selectionOf, type Selection } from './model/selection';
import type { PanelModel } from './model/panel';
import { activeBuilds } from './model/state';
import { STATE } from './tokens';

/** The largest number of environments whose selection are stored. */
const MOST = 100;

/** Store the values from now on; use the stored selection, and load the builds if a build was running when the page was closed. */
export async function remember(model: PanelModel, states: IStateDB): Promise<void> {
  const stored = await states.fetch(STATE).catch(() => undefined);
  const value = typeof stored === 'object' && stored !== null ? (stored as ReadonlyPartialJSONObject) : {};
  const ran = value['running'] === true;
  model.deciding.recall(choicesIn(value['selection']));
  let saved = JSON.stringify(stateOf(model, ran));
  model.changed.connect(() => {
    const state = stateOf(model, activeBuilds(model.state).length > 0);
    const text = JSON.stringify(state);
    if (text !== saved) {
      saved = text;
      void states.save(STATE, state);
    }
  });
  if (ran) {
    await model.loadBuilds();
  }
}

function stateOf(model: PanelModel, running: boolean): ReadonlyPartialJSONObject {
  const some = [...model.deciding.all].filter(([, selection]) => decisions(selection).length > 0).slice(-MOST);
  return { running, selection: Object.fromEntries(some.map(([prefix, selection]) => [prefix, selectionMembers(selection)])) };
}

/** Stored selection. Another version may have stored them, so that they can have any form. */
function choicesIn(value: unknown): Map<string, Selection> {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value as object) : [];
  return new Map(
    entries.flatMap(([prefix, each]): [string, Selection][] => (typeof each === 'object' && each !== null ? [[prefix, selectionOf(each as object)]] : []))
  );
}
