import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeEach, expect, it } from 'vitest';

import { PanelModel } from '../src/model/panel';
import { tar } from '../src/model/tar';
import { FakeServer } from './fakeServer';
import { DIGEST } from './things';

const EXPORTED = { lockfile: DIGEST, reference: 'lab.org/team/sci:1' };

let server: FakeServer;
let model: PanelModel;

beforeEach(() => {
  server = new FakeServer();
  model = new PanelModel(server);
  return () => model.dispose();
});

it('files and lock files are texts, or are written into a folder', async () => {
  expect((await model.exports.texts(EXPORTED, 'github-actions')).files[0]?.text).toBe('on: push');
  expect((await model.exports.texts(EXPORTED, 'lock pixi')).files).toEqual([
    { path: 'pixi.lock', text: `${DIGEST} pixi`, executable: false }
  ]);
  const place = { folder: 'work', replace: true };
  expect((await model.exports.save(EXPORTED, 'dockerfile', place)).written).toEqual(['work/Dockerfile']);
  expect((await model.exports.save(EXPORTED, 'lock explicit', place)).written).toEqual(['work/x.yml']);
  expect(server.exported).toEqual([
    { ...EXPORTED, kind: 'github-actions' },
    { ...EXPORTED, kind: 'dockerfile', ...place },
    { digest: DIGEST, format: 'explicit', ...place }
  ]);
});

it('several files are one tar that tar unpacks, with folders, programs and texts of any language', () => {
  const folder = mkdtempSync(join(tmpdir(), 'condabuild-tar-'));
  try {
    const long = 'x'.repeat(512);
    const files = [
      { path: '.github/workflows/image.yml', text: 'on: push # 环境', executable: false },
      { path: 'run', text: '', executable: true },
      { path: 'exact', text: long, executable: false }
    ];
    writeFileSync(join(folder, 'x.tar'), tar(files));
    execFileSync('tar', ['-xf', 'x.tar'], { cwd: folder });
    expect(files.map(({ path }) => readFileSync(join(folder, path), 'utf8'))).toEqual(files.map(({ text }) => text));
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o755);
    expect(statSync(join(folder, 'exact')).mode & 0o777).toBe(0o644);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
