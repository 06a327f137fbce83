/** Error responses of the server, or of a proxy in its place. */

import type { Fault } from './contract';

/** The longest `Retry-After` that is respected, in milliseconds. */
const LONGEST_RETRY_AFTER = 300_000;

/** An error response. */
export class ServerError extends Error implements Fault {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
    /** The HTTP status. */
    readonly status = 0,
    /** The wait that the server asks for, in milliseconds. */
    readonly retryAfter = 0,
    /** The platform to offer first, if one has to be named. */
    readonly platform = ''
  ) {
    super(message);
  }
}

/** The error of a response. Its body may have any form, because a proxy may have written it. */
export async function errorOf(response: Response): Promise<ServerError> {
  const body: unknown = await response.json().catch(() => null);
  const field = (name: string): string => {
    const value = typeof body === 'object' && body ? (body as Record<string, unknown>)[name] : '';
    return typeof value === 'string' ? value : '';
  };
  // Our 404 has a code; Jupyter's 404 for a missing route has none.
  const code = field('code') || (response.status === 404 ? 'no_server_part' : 'http_error');
  const message = field('message') || `${response.status} ${response.statusText}`.trim();
  return new ServerError(code, message, field('hint'), response.status, retryAfter(response), field('platform'));
}

/** The header `Retry-After`, a number of seconds or a date, in milliseconds; 0 without one. Source: RFC 9110, section 10.2.3 */
function retryAfter(response: Response): number {
  const text = response.headers.get('Retry-After') ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return wait > 0 ? Math.min(wait, LONGEST_RETRY_AFTER) : 0;
}
