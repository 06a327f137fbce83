/** What outlives a page: what a person chose for each environment, and whether a build was running. */

import { PageConfig } from '@jupyterlab/coreutils';
import type { IStateDB } from '@jupyterlab/statedb';

import { selectionMembers, decisions, selectionOf, type Selection } from './model/selection';
import type { PanelModel } from './model/panel';
import { activeBuilds } from './model/state';
import { STATE } from './tokens';

/** The largest number of environments whose selections are stored. */
const MOST = 100;

/** Load the builds if a build was running when the page was closed. The workspace keeps whether one is running from now on. */
export async function rememberBuilds(model: PanelModel, states: IStateDB): Promise<void> {
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

/**
 * Use the choices of earlier pages, and store those of this page. They belong to the environments of a server, not to a
 * workspace: each window of the browser uses the choices of the others at once.
 */
export function rememberChoices(model: PanelModel): void {
  const key = `${STATE}:choices:${PageConfig.getBaseUrl()}`;
  try {
    model.deciding.recall(choicesIn(localStorage.getItem(key)));
  } catch {
    return; // the browser keeps nothing
  }
  let saved = textOf(model);
  model.changed.connect(() => {
    const text = textOf(model);
    if (text !== saved) {
      saved = text;
      try {
        localStorage.setItem(key, text);
      } catch {
        // The browser has no space: the choices hold for this page.
      }
    }
  });
  window.addEventListener('storage', event => {
    if (event.key === key) {
      saved = event.newValue ?? '';
      model.deciding.follow(choicesIn(event.newValue));
    }
  });
}

function textOf(model: PanelModel): string {
  const some = [...model.deciding.all].filter(([, selection]) => decisions(selection).length > 0).slice(-MOST);
  return JSON.stringify(Object.fromEntries(some.map(([prefix, selection]) => [prefix, { ...selectionMembers(selection), apt: selection.apt }])));
}

/** Stored choices. Another version may have stored them, so that they can have any form. */
function choicesIn(text: string | null): Map<string, Selection> {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '{}');
  } catch {
    return new Map();
  }
  const entries = typeof value === 'object' && value !== null ? Object.entries(value as object) : [];
  return new Map(
    entries.flatMap(([prefix, each]): [string, Selection][] => (typeof each === 'object' && each !== null ? [[prefix, selectionOf(each as object)]] : []))
  );
}
