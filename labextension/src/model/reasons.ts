/** The server's reasons in the table of a substitution: those that the panel translates. */

/** In a text, `%1` is the name of a package or a platform, or a version. The first text that fits counts. */
export const REASONS: readonly string[] = [
  'the channel has another build there',
  'the channel has no %1 there',
  '%1 does not fit the other packages there',
  'left out as asked',
  'nothing needs it there',
  'no package for %1, and nothing needs it there',
  '%1 needs it there',
  'its source is for every platform; it is built there',
  'only a source distribution, which is built at the installation',
  'the wheel for this platform',
  'macOS only: it asks macOS not to slow a program down',
  'macOS only: the bridge to Objective-C',
  'Windows only: the bridge to the programs of Windows',
  'terminals of Windows',
  'macOS only: a Python that may open windows',
  'the C++ library of macOS',
  "macOS only: Apple's linker tools",
  "macOS only: Apple's linker",
  'the C compiler of macOS',
  'the C++ compiler of macOS',
  'the Fortran compiler of macOS',
  'the runtime of the C compiler of macOS',
  "macOS only: the format of Apple's libraries",
  'macOS only: it signs programs',
  'the C runtime of Windows',
  'the OpenMP runtime of Windows',
  "Windows only: it finds Microsoft's compiler",
  'Windows only: a program or library of MSYS2',
  'Windows only: POSIX threads for Windows',
  'Windows only: terminals',
  'Windows only: a function that Linux has',
  'Windows only: the certificates of Windows',
  'Windows only: an entry of the start menu',
  'it writes entries of start menus, and a container has none',
  'for x86 processors only',
  'TensorFlow for macOS',
  'macOS only: it uses the GPU of a Mac',
  'TensorFlow for Windows',
  'a part of TensorFlow for one system',
  'macOS only: it computes on the processors of Apple',
  'Windows only: a module that Linux has',
  'Windows only: the management of Windows'
];

/** The text of a reason of the server, and what is in the place of `%1`; null for another reason. */
export function knownReason(why: string): { text: string; name: string } | null {
  for (const text of REASONS) {
    const [before = '', after] = text.split('%1');
    if (after === undefined ? why === text : why.startsWith(before) && why.endsWith(after) && why.length > text.length - 2) {
      return { text, name: after === undefined ? '' : why.slice(before.length, why.length - after.length) };
    }
  }
  return null;
}
