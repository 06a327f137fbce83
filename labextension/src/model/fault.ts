/** Errors as the panel shows them. */

import type { Fault } from '../api/contract';

/** The members of any thrown value. */
export function faultOf(error: unknown): Fault {
  const { code, message, hint, platform } = error as Partial<Fault>;
  return {
    code: typeof code === 'string' ? code : 'no_answer',
    message: typeof message === 'string' ? message : String(error),
    hint: typeof hint === 'string' ? hint : '',
    ...(typeof platform === 'string' && platform && { platform })
  };
}
