/** Sizes and times for people, in the same form as in text.py, so that the panel and the command line agree. */

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A number of bytes with its unit, in powers of 1000 as registries count. */
export function sizeText(size: number): string {
  const step = stepOf(size);
  return `${scaled(size, step)} ${SIZES[step]}`;
}

/** A part and its whole, both in the unit of the whole, for a translated sentence. */
export function partTexts(complete: number, total: number): [string, string] {
  const step = stepOf(total);
  return [scaled(complete, step), `${scaled(total, step)} ${SIZES[step]}`];
}

/** A time with its unit: `0.3 s`, `12 s`, `2 min 5 s`, `1 h 3 min`. */
export function secondsText(seconds: number): string {
  if (seconds < 9.95) {
    return `${Math.max(seconds, 0).toFixed(1)} s`;
  }
  if (seconds < 59.5) {
    return `${Math.round(seconds)} s`;
  }
  const whole = Math.round(seconds);
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) {
    return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
  }
  const [hours, left] = [Math.floor(minutes / 60), minutes % 60];
  return left ? `${hours} h ${left} min` : `${hours} h`;
}

/** The time of day of an event. */
export function clockText(time: number): string {
  const date = new Date(time * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(n => String(n).padStart(2, '0')).join(':');
}

/** A shortened digest. It is long enough to distinguish two digests. */
export function shortDigest(digest: string): string {
  return digest.length > 24 ? `${digest.slice(0, 15)}…${digest.slice(-4)}` : digest;
}

/** A reference with a shortened digest. */
export function shortReference(reference: string): string {
  const [name = '', digest] = reference.split('@');
  return digest ? `${name}@${shortDigest(digest)}` : name;
}

function stepOf(size: number): number {
  let step = 0;
  while (Math.abs(size) >= (step ? 999.5 : 1000) * 1000 ** step && step < SIZES.length - 1) {
    step++;
  }
  return step;
}

function scaled(size: number, step: number): string {
  if (!step) {
    return size.toFixed(0);
  }
  const value = size / 1000 ** step;
  return value < 9.95 ? value.toFixed(1) : value.toFixed(0);
}
