import { readFileSync } from 'node:fs';

import openapiTS, { astToString } from 'openapi-typescript';
import { expect, it } from 'vitest';

const CONTRACT = new URL('../../jupyter_condabuild/server/openapi.yaml', import.meta.url);
const TYPES = new URL('../src/api/openapi.ts', import.meta.url);

/** Types alone: what the contract's descriptions say may change without the panel. */
const bare = (types: string): string => types.replace(/\/\*\*[\s\S]*?\*\//g, '').replace(/\n\s*(?=\n)/g, '').trim();

it('The types of the panel are those of openapi.yaml; `npm run contract` makes them anew', async () => {
  const types = astToString(await openapiTS(CONTRACT, { defaultNonNullable: false }));
  expect(bare(readFileSync(TYPES, 'utf8'))).toBe(bare(types));
});
