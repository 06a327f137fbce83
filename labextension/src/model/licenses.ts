/** The classes of licences, and the packages whose terms a person should read before sharing an image. */

import type { LicensedPackage, Licenses } from '../api/contract';

/** From the least to the most demanding class. `other`: no known class; `restricted`: not for every use; `unknown`: no licence is stated. */
export const CLASSES = ['permissive', 'weak', 'copyleft', 'other', 'restricted', 'unknown'] as const;

export type LicenseClass = (typeof CLASSES)[number];

/** The classes whose packages a person should look at. */
const NEED_A_LOOK: readonly LicenseClass[] = ['restricted', 'unknown'];

/** Words of licences that forbid commercial use, or that allow the use only under a contract. */
const RESTRICTED = /non[- _]?commercial|\bnc\b|proprietary|commercial|eula|nvidia|cuda|intel simplified|academic|research[- ]only/i;
/** Source: https://spdx.org/licenses/, and the words that packages of conda-forge use. */
const WEAK = /^(LGPL|MPL|EPL|CDDL|CPL|APSL|OSL-?1|Ms-?RL|EUPL|GCC-exception)/i;
const COPYLEFT = /^(A?GPL|SSPL|CC-BY-SA|Sleepycat|GFDL)/i;
const PERMISSIVE =
  /^(MIT|BSD|0BSD|Apache|ISC|PSF|Python|CNRI|Zlib|libpng|HPND|Unlicense|CC0|CC-BY-[34]|BSL|BSL-1|Boost|curl|X11|NCSA|OpenSSL|bzip2|TCL|Artistic-2|WTFPL|Unicode|ICU|FTL|IJG|PostgreSQL|OFL|AFL|Blessing|SIL|ZPL|W3C|MS-PL|Ncurses|Info-ZIP|NAIST|Public[- ]?Domain|LicenseRef-Public[- ]?Domain|LicenseRef-PIL|Pillow|TU-Berlin|Vim|Spencer|SMLNJ|Minpack|NIST|Intel$|Bitstream|Ubuntu-font|JasPer|mpich2|Modified BSD|New BSD|3-clause BSD|2-clause BSD|The MIT)/i;

/** The class of a package's licence. */
export function classOf({ license }: Pick<LicensedPackage, 'license'>): LicenseClass {
  return license.trim() ? expressionClass(license) : 'unknown';
}

/** The class of an SPDX expression: the least demanding choice of `OR`, and the most demanding part of `AND`. */
function expressionClass(text: string): LicenseClass {
  const [, inner] = /^\(([^()]*)\)$/.exec(text.trim()) ?? [];
  const part = inner ?? text.trim();
  const ranks = (parts: string[]): number[] => parts.map(each => CLASSES.indexOf(expressionClass(each)));
  const choices = split(part, 'OR');
  if (choices.length > 1) {
    return CLASSES[Math.min(...ranks(choices))] ?? 'other';
  }
  const all = split(part, 'AND');
  if (all.length > 1) {
    return CLASSES[Math.max(...ranks(all))] ?? 'other';
  }
  const [name = '', exception] = part.split(/\s+WITH\s+/);
  if (RESTRICTED.test(name)) {
    return 'restricted';
  }
  if (WEAK.test(name) || (COPYLEFT.test(name) && exception)) {
    return 'weak';
  }
  return COPYLEFT.test(name) ? 'copyleft' : PERMISSIVE.test(name) ? 'permissive' : 'other';
}

/** The parts of an expression, split at an operator outside of parentheses. */
function split(text: string, operator: 'OR' | 'AND'): string[] {
  const parts: string[] = [];
  let [depth, part] = [0, ''];
  for (const token of text.split(/(\s+|[()])/)) {
    depth += token === '(' ? 1 : token === ')' ? -1 : 0;
    if (token === operator && depth === 0) {
      parts.push(part);
      part = '';
    } else {
      part += token;
    }
  }
  return [...parts, part];
}

/** The packages of each class that has packages, from the least to the most demanding class. */
export function byClass({ packages }: Licenses): [LicenseClass, LicensedPackage[]][] {
  const groups = CLASSES.map((name): [LicenseClass, LicensedPackage[]] => [name, packages.filter(each => classOf(each) === name)]);
  return groups.filter(([, members]) => members.length);
}

/** Whether a person should look at the packages of a class. */
export function needsALook(name: LicenseClass): boolean {
  return NEED_A_LOOK.includes(name);
}
