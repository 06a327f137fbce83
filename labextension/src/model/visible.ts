/** Makes texts from outside safe to look at: names of files, of environments and of packages, and messages of tools. */

/**
 * Control characters, directional and other invisible characters, and characters without a meaning: the same as in text.py.
 * Source: UAX #9 (directional formatting): with U+202E, `gnp.exe` is displayed as `exe.png`.
 */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** A text for one line: each invisible character is displayed as U+FFFD. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, '\ufffd');
}

/** The same for a text of several lines. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}
