/** The errors and warnings of the server that the panel can translate, by their code. */

import { ERRORS } from './knownErrors';
import { WARNINGS } from './knownWarnings';

export interface KnownFault {
  /** A short description of the fault. If the panel is in English, the server's message is displayed instead. */
  title: string;
  /** The server's usual hint, word for word. */
  hint: string;
  /** The hint in the words of the panel, where the server's hint names an option of the command line. */
  here?: string;
  /** Whether the server's message is a sentence with the same meaning as `title`, then a colon and names. */
  endsInNames?: true;
}

export const KNOWN_FAULTS: ReadonlyMap<string, KnownFault> = new Map(Object.entries({ ...WARNINGS, ...ERRORS }));
