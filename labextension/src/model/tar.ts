/** Writes files into one tar, so that a browser downloads a folder. Source: POSIX.1-2017, pax, "ustar Interchange Format". */

import type { ExportedFile } from './exports';

const BLOCK = 512;

/** @returns the bytes of the tar; the files have no owner and no time. */
export function tar(files: readonly ExportedFile[]): Uint8Array {
  const encoder = new TextEncoder();
  const parts = files.flatMap(({ path, text, executable }) => {
    const body = encoder.encode(text);
    return [header(encoder.encode(path), body.length, executable), body, new Uint8Array(-body.length & (BLOCK - 1))];
  });
  parts.push(new Uint8Array(2 * BLOCK));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function header(path: Uint8Array, size: number, executable: boolean): Uint8Array {
  if (path.length > 100) {
    throw new Error('The path of an exported file is longer than 100 bytes.');
  }
  const block = new Uint8Array(BLOCK);
  const write = (offset: number, text: string): void => block.set(new TextEncoder().encode(text), offset);
  const octal = (offset: number, value: number, digits: number): void => write(offset, value.toString(8).padStart(digits, '0'));
  block.set(path);
  octal(100, executable ? 0o755 : 0o644, 7);
  octal(108, 0, 7);
  octal(116, 0, 7);
  octal(124, size, 11);
  octal(136, 0, 11);
  write(148, ' '.repeat(8));
  write(156, '0');
  write(257, 'ustar\u000000');
  octal(148, block.reduce((sum, byte) => sum + byte, 0), 6);
  block[154] = 0;
  return block;
}
