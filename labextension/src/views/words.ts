/** The texts for steps, states, faults, builds and times. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { Asked, Build, BuildState, Fault, Finished, Warning } from '../api/contract';
import type { Connection } from '../api/updates';
import { KNOWN_FAULTS } from '../model/faults';
import type { Refusal } from '../model/news';
import { knownReason } from '../model/reasons';
import { runTitle, sentences } from '../model/shareTexts';
import type { StepName } from '../model/steps';
import { sizeText } from '../model/units';
import { visible } from '../model/visible';
import type { Entry } from '../model/warnings';

export function stepWord(trans: TranslationBundle, step: StepName): string {
  switch (step) {
    case 'snapshot':
      return trans.__('Snapshot');
    case 'lock':
      return trans.__('Lock');
    case 'layers':
      return trans.__('Layers');
    case 'push':
      return trans.__('Push');
    case 'load':
      return trans.__('Load');
    case 'export':
      return trans.__('Save');
  }
}

export function stateWord(trans: TranslationBundle, state: BuildState): string {
  switch (state) {
    case 'queued':
      return trans.__('Waiting');
    case 'running':
      return trans.__('Building');
    case 'finished':
      return trans.__('Ready');
    case 'failed':
      return trans.__('Failed');
    case 'cancelled':
      return trans.__('Cancelled');
    case 'interrupted':
      return trans.__('Interrupted');
    default:
      return state;
  }
}

/** The reason why the events of a build do not arrive at the moment. */
export function connectionWord(trans: TranslationBundle, connection: Exclude<Connection, 'open'>): string {
  switch (connection) {
    case 'lost':
      return trans.__('Connection lost, trying again…');
    case 'busy':
      return trans.__('The server is busy, trying again…');
    case 'denied':
      // A notice is displayed instead.
      return '';
  }
}

/** The label of a line of the log. Unknown labels are displayed unchanged. */
export function labelWord(trans: TranslationBundle, label: string): string {
  const words: Record<string, string> = {
    snapshot: trans.__('snapshot'),
    lock: trans.__('lock'),
    plan: trans.__('plan'),
    base: trans.__('base'),
    link: trans.__('link'),
    layers: trans.__('layers'),
    push: trans.__('push'),
    load: trans.__('load'),
    export: trans.__('save'),
    'reused-remote': trans.__('reused'),
    'reused-local': trans.__('reused'),
    mounted: trans.__('reused'),
    built: trans.__('built'),
    pushed: trans.__('pushed'),
    warning: trans.__('warning'),
    check: trans.__('check'),
    finished: trans.__('finished'),
    failed: trans.__('failed'),
    cancelled: trans.__('cancelled')
  };
  return words[label] ?? label;
}

/**
 * The texts of a fault: a title, its details, and the hint. They are translated if the code is known. Otherwise
 * they are the server's texts. Its message has the title before the first colon.
 */
export function faultTexts(trans: TranslationBundle, fault: Fault): { title: string; details: string; hint: string } {
  const { code } = fault;
  const [message, hint] = [visible(fault.message), visible(fault.hint)];
  const colon = message.indexOf(': ');
  const known = KNOWN_FAULTS.get(code);
  const title = known ? trans._p('server', known.title) : '';
  const isUsual = known && hint && hint === known.hint;
  const advice = isUsual ? trans._p('server', known.here ?? known.hint) : hint;
  if (!known || title === known.title) {
    // A message may end with a long list of names, which would hide its subject.
    return colon > 0
      ? { title: message.slice(0, colon + 1), details: message.slice(colon + 2), hint: advice }
      : { title: message, details: '', hint: advice };
  }
  return {
    title,
    details: known.endsInNames && colon > 0 ? message.slice(colon + 2) : message,
    hint: advice
  };
}

/** The short title of a fault, without names and details. */
export function faultTitle(trans: TranslationBundle, fault: Fault): string {
  const known = KNOWN_FAULTS.get(fault.code);
  return known ? trans._p('server', known.title) : faultTexts(trans, fault).title;
}

/** What the warnings of a group mean. */
export function groupWord(trans: TranslationBundle, group: Warning['group']): string {
  switch (group) {
    case 'stops':
      return trans.__('The build would stop');
    case 'lost':
      return trans.__('Not in the image, or not as it is here');
    case 'others':
      return trans.__('Others cannot rebuild it');
    case 'note':
      return trans.__('Good to know');
  }
}

/** One line for the warnings with one code: what they say, how many things there are, and their size. */
export function entryTitle(trans: TranslationBundle, entry: Entry): string {
  const { code, count, size, warnings } = entry;
  const [first] = warnings;
  if (!first) {
    return code;
  }
  const known = KNOWN_FAULTS.get(code);
  const title = faultTexts(trans, first).title.replace(/[:.]$/, '');
  if (!known || title === known.title || title !== trans._p('server', known.title)) {
    // The server's message has the number and the size.
    return warnings.length > 1 ? trans.__('%1, and %2 more', title, warnings.length - 1) : title;
  }
  const number = count || (warnings.length > 1 ? warnings.length : 0);
  const facts = [number > 0 && String(number), size > 0 && sizeText(size)].filter(Boolean);
  return facts.length ? `${title} (${facts.join(', ')})` : title;
}

/** The title and details of a fault in one line. */
export function faultText(trans: TranslationBundle, fault: Fault): string {
  const { title, details } = faultTexts(trans, fault);
  return `${title} ${details}`.trim();
}

/** The short name of a build: its image without registry and digest, or its archive. */
export function buildName(build: Build): string {
  return requestName(build.request) || build.id;
}

/** The short name of the image of a request; empty if the request names no image. */
export function requestName(asked: Partial<Pick<Asked, 'target' | 'reference' | 'archive' | 'prefix'>>): string {
  const { target = '', archive = '', prefix = '' } = asked;
  const reference = target || asked.reference || '';
  return visible(reference.split('@')[0]?.split('/').pop() || archive || prefix.split('/').pop() || '');
}

/** The name of the environment of a build. A build of an image has the name of the environment of that image, if it is known. */
export function environmentName(build: Build, builds: readonly Build[]): string {
  const image = build.request.reference.split('@')[0];
  const source = build.request.prefix ? build : builds.find(({ request, result }) => request.prefix && result?.reference === image);
  return visible(source?.request.prefix.split('/').filter(Boolean).pop() ?? buildName(build));
}

/** The text for a build that is queued or running. */
export function doingText(trans: TranslationBundle, build: Build): string {
  if (build.state === 'queued') {
    return trans.__('Waiting: %1', buildName(build));
  }
  return build.command === 'verify' ? trans.__('Verifying %1', buildName(build)) : trans.__('Building %1', buildName(build));
}

/** The text for a request that the server refused. */
export function refusedText(trans: TranslationBundle, { asked, fault }: Refusal): string {
  return trans.__('%1 failed: %2', requestName(asked), faultText(trans, fault));
}

/** The text for an ended build. */
export function doneText(trans: TranslationBundle, build: Build): string {
  const name = buildName(build);
  if (build.state === 'cancelled') {
    return build.command === 'verify' ? trans.__('%1 is not verified', name) : trans.__('The build of %1 was cancelled', name);
  }
  if (build.state !== 'finished') {
    return trans.__('%1 failed: %2', name, build.error ? faultText(trans, build.error) : '');
  }
  if (build.command === 'verify') {
    return isVerified(build)
      ? trans.__('%1 is what its lock file makes', name)
      : trans.__('Nothing of %1 differs, but not all of it is proved', name);
  }
  return trans.__('%1 is ready to share', name);
}

/** Whether every part of an image is proved. */
export function isVerified(build: Build): boolean {
  return build.command === 'verify' && build.result !== null && build.result.unproved === 0;
}

/** What a verification proved, and what not; empty for a verification by an older version. */
export function proofText(trans: TranslationBundle, proof: Finished['proof']): string {
  if (!proof) {
    return '';
  }
  const proved = trans._n('%1 package proved', '%1 packages proved', proof.packages);
  const unproved = [
    proof.patched.length > 0 && trans.__('%1 patched', proof.patched.join(', ')),
    proof.files > 0 && trans._n('%1 foreign file', '%1 foreign files', proof.files),
    proof.pip.length > 0 && trans._n('%1 pip package', '%1 pip packages', proof.pip.length),
    proof.other > 0 && trans._n('%1 other part', '%1 other parts', proof.other)
  ].filter(Boolean);
  return unproved.length
    ? trans.__('%1; %2 not provable', proved, unproved.join(', '))
    : trans.__('%1, and everything else in the image, too', proved);
}

/** Where the pushed bytes came from; empty if nothing was pushed. */
export function sentText(trans: TranslationBundle, sent: Finished['sent']): string {
  if (!sent) {
    return '';
  }
  return [
    sent.base > 0 && trans.__('%1 of the base image', sizeText(sent.base)),
    sent.copied > 0 && trans.__('%1 copied from another repository', sizeText(sent.copied)),
    sent.store > 0 && trans.__('%1 built earlier', sizeText(sent.store)),
    sent.made > 0 && trans.__('%1 built now', sizeText(sent.made))
  ]
    .filter(Boolean)
    .join(' · ');
}

/** The title of a command that uses an image. */
export function shareTitle(trans: TranslationBundle, title: string): string {
  const run = runTitle(title);
  if (run) {
    return trans.__('Run %1 with %2', run.program === 'the image' ? trans.__('the image') : run.program, run.tool);
  }
  return trans._p('share', title);
}

/** Why a package is another one, or is left out, on another platform. */
export function reasonText(trans: TranslationBundle, why: string): string {
  const known = knownReason(why);
  return known ? trans._p('reason', known.text, known.name) : visible(why);
}

/** The note of a command that uses an image. */
export function shareNote(trans: TranslationBundle, note: string): string {
  return sentences(note)
    .map(sentence => trans._p('share', sentence))
    .join(' ');
}

/** Who built an image; empty where nobody looked. */
export function signatureText(trans: TranslationBundle, signed: Pick<Finished, 'signature' | 'signer'>): string {
  return {
    verified: trans.__('built by %1, signature verified', signed.signer),
    untrusted: trans.__('signed by a signer who is not trusted'),
    unsigned: trans.__('unsigned'),
    unknown: trans.__('the registry does not say whether it is signed'),
    '': ''
  }[signed.signature];
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60]
];

/** How long ago `time` was, such as `5 minutes ago`; both times are in seconds since 1970. */
export function agoText(language: string, time: number, now = Date.now() / 1000): string {
  const seconds = now - time;
  const format = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? ['second', 1];
  return format.format(-Math.max(0, Math.floor(seconds / size)), unit);
}

/** The day and the time of `time`, which is in seconds since 1970. */
export function timeText(language: string, time: number): string {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(time * 1000);
}
