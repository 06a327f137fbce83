import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import type { Build } from '../src/api/contract';
import { sameAgain } from '../src/model/request';
import { aBuild } from './things';

const TYPES = readFileSync(new URL('../src/api/openapi.ts', import.meta.url), 'utf8');

/** The members of a schema of the contract, from the generated types. */
function membersOf(schema: string): string[] {
  const [, body = ''] = new RegExp(String.raw`^ {8}${schema}: \{$(.*?)^ {8}\}`, 'ms').exec(TYPES) ?? [];
  return [...body.matchAll(/^ {12}(\w+)\??:/gm)].map(([, name = '']) => name);
}

describe('the repetition of a build', () => {
  it('is requested with the installer of the earlier build', () => {
    const installer = { engine: 'docker', installer: 'conda', installer_image: 'registry.lab.org/conda:26', pull: true };
    const request = { ...aBuild().request, ...installer } as Build['request'];
    expect(sameAgain(aBuild({ request }))).toMatchObject({ prefix: '/opt/sci', again: true, ...installer });
    expect(sameAgain(aBuild({ command: 'base', request }))).toMatchObject({
      command: 'base',
      installer: 'conda',
      installer_image: 'registry.lab.org/conda:26'
    });
  });

  it('does not contain a choice without a value', () => {
    const request = { ...aBuild().request, installer: '', installer_image: '', pull: false } as Build['request'];
    expect(sameAgain(aBuild({ request }))).not.toHaveProperty('installer');
    expect(sameAgain(aBuild({ request }))).toMatchObject({ pull: false, cache_from: [], stack: false });
  });

  it.each([
    ['build', 'BuildCommand'],
    ['base', 'BaseCommand'],
    ['rebase', 'RebaseCommand'],
    ['verify', 'VerifyCommand']
  ] as const)('of the command %s is requested with each member that the server shows and the command has', (command, schema) => {
    const members = membersOf('Asked');
    const request = Object.fromEntries(members.map(member => [member, `its ${member}`])) as unknown as Build['request'];
    const { command: _, again, ...asked } = sameAgain(aBuild({ command, request })) as Record<string, unknown>;
    expect(membersOf(schema)).toContain('reference');
    const expected = members.filter(member => membersOf(schema).includes(member));
    expect(asked).toEqual(Object.fromEntries(expected.map(member => [member, `its ${member}`])));
    expect(again).toBe(command === 'build' ? true : undefined);
  });
});
