import { beforeEach, expect, it, vi } from 'vitest';

import { registryOf } from '../src/model/destination';
import { PanelModel } from '../src/model/panel';
import { FakeServer } from './fakeServer';

let server: FakeServer;
let model: PanelModel;

beforeEach(() => {
  server = new FakeServer();
  model = new PanelModel(server);
  return () => model.dispose();
});

it('keeps a login that the registry accepts, and reads the status again', async () => {
  const status = vi.spyOn(server, 'status');
  expect(await model.signIn('lab.org', 'ada', 'canary')).toMatchObject({ user: 'ada', tested: true });
  expect(server.kept).toEqual(['ada@lab.org']);
  await vi.waitFor(() => expect(status).toHaveBeenCalledOnce());
  expect(JSON.stringify(model.state)).not.toContain('canary');
});

it('rejects a login that the registry refuses, and changes nothing', async () => {
  const before = model.state;
  server.refuses = { code: 'registry_unauthorized', message: 'lab.org does not accept it.', hint: '' };
  await expect(model.signIn('lab.org', 'ada', 'canary')).rejects.toMatchObject({ code: 'registry_unauthorized' });
  expect(model.state).toBe(before);
});

it('knows the registry of a name', () => {
  for (const [reference, setting, expected] of [
    ['registry.lab.org:5000/team/env:1', 'other.org/team', 'registry.lab.org:5000'],
    ['localhost/env', '', 'localhost'],
    ['team/env:1', 'other.org/team', 'other.org'],
    ['env', '', 'docker.io']
  ] as const) {
    expect(registryOf(reference, setting)).toBe(expected);
  }
});
