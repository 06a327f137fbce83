import { readFileSync } from 'node:fs';

import openapiTS, { astToString } from 'openapi-typescript';
import { expect, it } from 'vitest';

const CONTRACT = new URL('../../jupyter_condabuild/server/openapi.yaml', import.meta.url);
const TYPES = new URL('../src/api/openapi.ts', import.meta.url);

/** Only the types: the descriptions in the contract can change without a change of the panel. */
const bare = (types: string): string => types.replace(/\/\*\*[\s\S]*?\*\//g, '').replace(/\n\s*(?=\n)/g, '').trim();

it('The types of the panel are those of openapi.yaml; `npm run contract` makes them again', async () => {
  const types = astToString(await openapiTS(CONTRACT, { defaultNonNullable: false }));
  expect(bare(readFileSync(TYPES, 'utf8'))).toBe(bare(types));
});
