import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { Build, Change } from '../src/api/contract';
import { PanelModel } from '../src/model/panel';
import { isOver } from '../src/model/state';
import { FakeServer } from './fakeServer';
import { aBuild, RESULT } from './things';

/** Wait until all code has continued that waits for existing answers. */
const settled = async (): Promise<void> => void (await new Promise(resolve => setTimeout(resolve)));

let server: FakeServer;
let model: PanelModel;

beforeEach(() => {
  server = new FakeServer();
  model = new PanelModel(server);
  return () => model.dispose();
});

const NUMPY: Change = { name: 'numpy', manager: 'conda', kind: 'changed', before: '2.3-0', after: '2.4-0' };

describe('the history', () => {
  const old = aBuild({ id: '1'.repeat(16), created: 100, state: 'finished', result: { ...RESULT, environment: 'old' } });
  const now = aBuild({ id: '2'.repeat(16), created: 200, state: 'finished', result: { ...RESULT, environment: 'now' } });

  beforeEach(() => {
    server.known = [now, old];
    server.differences.set('old now', [NUMPY]);
  });

  it('counts the builds that the server has, and does not list', async () => {
    await model.loadBuilds();
    expect(model.state.unlisted).toBe(0);
    server.older = 300;
    await model.loadBuilds();
    expect(model.state).toMatchObject({ unlisted: 300, builds: [{ id: now.id }, { id: old.id }] });
  });

  it('displays the changes since the previous image', async () => {
    await model.loadBuilds();
    model.show(now.id);
    await settled();
    expect(model.state.since?.before.id).toBe(old.id);
    expect(model.state.since?.changes).toEqual([NUMPY]);
  });

  it('does not display a late comparison while another build is displayed', async () => {
    await model.loadBuilds();
    model.show(now.id);
    model.show(old.id);
    await settled();
    expect(model.state.since).toBeNull();
  });

  it('compares any two builds, until a person goes back', async () => {
    await model.loadBuilds();
    const compared = model.compare(old, now);
    expect(model.state.comparison).toMatchObject({ changes: null, fault: null });
    await compared;
    expect(model.state.comparison?.changes).toHaveLength(1);
    model.endComparison();
    expect(model.state.comparison).toBeNull();
  });

  it('displays the reason why two builds cannot be compared', async () => {
    server.difference = () => Promise.reject({ code: 'not_found', message: 'It is gone', hint: '' });
    await model.loadBuilds();
    await model.compare(old, now);
    expect(model.state.comparison).toMatchObject({ changes: null, fault: { message: 'It is gone' } });
  });

  it('has no previous image for a build without an environment', async () => {
    const rebased = (id: string, created: number): Build =>
      aBuild({ id, created, state: 'finished', result: RESULT, request: { ...aBuild().request, prefix: '' } });
    server.known = [rebased('4'.repeat(16), 300), rebased('3'.repeat(16), 250)];
    await model.loadBuilds();
    model.show('4'.repeat(16));
    await settled();
    expect(model.state.since).toBeNull();
  });

  it('deletes the displayed build, and displays the environment', async () => {
    await model.loadBuilds();
    model.show(now.id);
    await model.forget(now.id);
    expect(server.forgotten).toEqual([now.id]);
    expect(model.state).toMatchObject({ shown: null, builds: [old] });
    expect(server.stopped).toEqual([now.id]);
  });

  it('keeps a build that cannot be deleted, and displays the reason', async () => {
    await model.loadBuilds();
    server.refuses = { code: 'not_ended', message: 'It is running.', hint: '' };
    await model.forget(now.id);
    expect(model.state.builds).toHaveLength(2);
    expect(model.state.startFault?.code).toBe('not_ended');
  });

  it('removes a build that another window has deleted', async () => {
    await model.loadBuilds();
    server.refuses = { code: 'not_found', message: 'There is no build.', hint: '' };
    await model.forget(now.id);
    expect(model.state).toMatchObject({ builds: [old], startFault: null });
  });

  it('says that the server extension is missing, until it answers', async () => {
    server.refuses = { code: 'no_server_part', message: '404', hint: '' };
    await model.refresh();
    expect(model.state.absent?.code).toBe('no_server_part');
    expect(server.snapshots).toEqual([]);
    server.refuses = null;
    await model.refresh();
    expect(model.state.absent).toBeNull();
  });

  it('follows each running build once, and stops when the panel is closed', async () => {
    const running = aBuild({ id: '3'.repeat(16), state: 'running' });
    server.known = [running, now];
    const follow = vi.spyOn(server, 'follow');
    await model.loadBuilds();
    await model.loadBuilds();
    model.show(running.id);
    expect(follow.mock.calls.map(([id]) => id)).toEqual([running.id]);
    model.dispose();
    expect(server.stopped).toEqual([running.id]);
    expect(isOver(running)).toBe(false);
  });
});
