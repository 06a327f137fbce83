import { describe, expect, it } from 'vitest';

import type { LicensedPackage } from '../src/api/contract';
import { byClass, classOf } from '../src/model/licenses';

describe('licences', () => {
  const named = (license: string): LicensedPackage => ({
    manager: 'conda',
    name: license || 'none',
    version: '1',
    channel: '',
    license,
    is_spdx: true
  });

  it.each([
    ['MIT', 'permissive'],
    ['BSD-3-Clause AND MIT', 'permissive'],
    ['Apache-2.0 WITH LLVM-exception', 'permissive'],
    ['PSF-2.0', 'permissive'],
    ['BSD-3-Clause AND GPL-3.0-only', 'copyleft'],
    ['MIT OR GPL-3.0-only', 'permissive'],
    ['(MIT OR GPL-2.0-or-later) AND LGPL-2.1-only', 'weak'],
    ['LGPL-2.1-or-later', 'weak'],
    ['GPL-3.0-only WITH GCC-exception-3.1', 'weak'],
    ['MPL-2.0', 'weak'],
    ['GPL-3.0-or-later', 'copyleft'],
    ['AGPL-3.0-only', 'copyleft'],
    ['LicenseRef-NVIDIA-End-User-License-Agreement', 'restricted'],
    ['CC-BY-NC-4.0', 'restricted'],
    ['LicenseRef-Proprietary', 'restricted'],
    ['MIT AND LicenseRef-Proprietary', 'restricted'],
    ['Our own terms', 'other'],
    ['', 'unknown'],
    [' ', 'unknown']
  ])('%s is %s', (license, expected) => {
    expect(classOf(named(license))).toBe(expected);
  });

  it('are counted by class, from the least to the most demanding', () => {
    const packages = ['', 'GPL-3.0-only', 'MIT', 'ISC'].map(named);
    const groups = byClass({ licenses: {}, packages, commercial: [], unlicensed: [] });
    expect(groups.map(([name, members]) => [name, members.length])).toEqual([
      ['permissive', 2],
      ['copyleft', 1],
      ['unknown', 1]
    ]);
  });
});
