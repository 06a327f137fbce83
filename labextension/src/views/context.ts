/** The values that every view uses: translations, the model, and dialogs. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { createContext, useContext } from 'react';

import type { PanelModel } from '../model/panel';

export interface Surroundings {
  trans: TranslationBundle;
  /** The language of dates and relative times, such as `en` or `zh-CN`. */
  language: string;
  model: PanelModel;
  copy(text: string): void;
  download(name: string, content: string | Uint8Array): void;
  /** The folder of the current notebook, relative to the server's root folder. */
  folder(): string;
  /** Select a file in the file browser. */
  showFile(path: string): void;
  confirm(question: { title: string; text: string; yes: string; no: string }): Promise<boolean>;
  /** Ask for several texts, each with a label and a first value; null if the person cancels. */
  ask(question: { title: string; fields: { label: string; text: string }[]; yes: string }): Promise<string[] | null>;
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
