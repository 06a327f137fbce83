/** The text of "Copy report": the data to explain a failure, without secrets. */

import type { Build } from '../api/contract';
import type { BuildProgress } from './build';
import type { LogLine } from './lines';

const LAST_LINES = 40;

export function report(build: Build, progress: BuildProgress, version: string): string {
  const { error, request, result } = build;
  const lines = [
    `jupyter-condabuild ${version}, build ${build.id}: ${build.state}`,
    `reference: ${request.reference || '-'}  engine: ${request.engine}  base: ${request.base || '-'}`,
    ...(error ? [`error: ${error.code}: ${error.message}`, ...(error.hint ? [`hint: ${error.hint}`] : [])] : []),
    ...(result ? [`digest: ${result.digest}`] : []),
    '',
    ...progress.lines.slice(-LAST_LINES).map(line => `${line.label ? `${line.label}: ` : ''}${plain(line.text)}`)
  ];
  return lines.map(withoutSecrets).join('\n');
}

/** The line of the log that explains a failure: the last line of standard error, or else the last line. */
export function failureLine({ lastOutput }: BuildProgress): LogLine | null {
  return lastOutput.error ?? lastOutput.log;
}

/** A text without the escape sequences for colours. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, '');
}

/** Mask secrets. The server writes no secrets, but the output of a tool may contain some. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/\/\/[^/\s@]+@/g, '//***@')
    .replace(/\/t\/[^/\s]+/g, '/t/***')
    .replace(/\b(authorization:?\s*)?(bearer|basic)\s+[\w.~+/=-]{8,}/gi, '$2 ***')
    .replace(/\b(\w*(?:token|password|passwd|secret|api_?key)\w*)(\s*[=:]\s*)("[^"]*"|\S+)/gi, '$1$2***');
}
