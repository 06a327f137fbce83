/** The values that every view uses: translations, the model, and dialogs. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { createContext, useContext } from 'react';

import type { PanelModel } from '../model/panel';
import type { PanelState } from '../model/state';

export interface Surroundings {
  trans: TranslationBundle;
  /** The language of dates and relative times, such as `en` or `zh-CN`. */
  language: string;
  model: PanelModel;
  copy(text: string): void;
  download(name: string, content: string | Uint8Array): void;
  /** The folder of the current notebook, relative to the server's root folder. */
  folder(): string;
  /** Whether the browser is on the server's machine, so that it reaches addresses of that machine alone. */
  isAtServer: boolean;
  /** Select a file in the file browser. */
  showFile(path: string): void;
  confirm(question: Question & { text: string; no: string }): Promise<boolean>;
  /** Ask for several texts, each with a label and a first value; null if the person cancels. */
  ask(question: Question & { fields: { label: string; text: string }[] }): Promise<string[] | null>;
}

/** A question in a dialog. The dialog closes, as if the person had cancelled, when the question has become void. */
export interface Question {
  title: string;
  yes: string;
  isVoid?(state: PanelState): boolean;
}

const Context = createContext<Surroundings | null>(null);

export const SurroundingsProvider = Context.Provider;

export function useSurroundings(): Surroundings {
  const surroundings = useContext(Context);
  if (!surroundings) {
    throw new Error('A view outside of the panel');
  }
  return surroundings;
}
