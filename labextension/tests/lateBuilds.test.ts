import { beforeEach, describe, expect, it } from 'vitest';

import type { Build, Builds } from '../src/api/contract';
import { held, settled } from './held';
import { model, server, setUp } from './setUp';
import { aBuild, RESULT } from './things';

const listed = (builds: Build[]): Builds => ({ builds, total: builds.length });

const BUSY = { code: 'queue_full', message: 'Too many', hint: 'Later' };

setUp();

describe('the state of a build', () => {
  const running = aBuild({ state: 'running' });
  const finished = aBuild({ state: 'finished', result: RESULT, share: [{ tool: 'docker', title: 'Run', text: 'docker run', note: '' }] });

  beforeEach(async () => {
    server.known = [running];
    await model.loadBuilds();
  });

  it('is not replaced by the answer to an earlier cancel', async () => {
    const cancels = held<Build>(server, 'cancel');
    void model.cancel(running.id);
    server.end(running.id, { state: 'finished', result: RESULT, share: finished.share });
    await settled();
    cancels[0]?.answer({ ...running, cancelling: true });
    await settled();
    expect(model.state.builds).toEqual([finished]);
  });

  it('is not replaced by an earlier list without newer builds', async () => {
    const lists = held<Builds>(server, 'builds');
    void model.loadBuilds();
    await model.start();
    server.end(running.id, { state: 'finished', result: RESULT, share: finished.share });
    await model.retry(running);
    const started = model.state.shown;
    await settled();
    lists[0]?.answer(listed([running]));
    await settled();
    expect(model.state.builds.map(({ id, state }) => [id, state])).toEqual([
      [running.id, 'finished'],
      [started, 'running']
    ]);
    expect(model.state.builds[0]?.share).toEqual(finished.share);
  });

  it('is the state in the latest list', async () => {
    const lists = held<Builds>(server, 'builds');
    void model.loadBuilds();
    void model.loadBuilds();
    lists[1]?.answer(listed([finished]));
    await settled();
    lists[0]?.answer(listed([finished, aBuild({ id: '2'.repeat(16) })]));
    await settled();
    expect(model.state.builds).toEqual([finished]);
  });

  it('stays when an earlier list fails', async () => {
    const lists = held<Builds>(server, 'builds');
    void model.loadBuilds();
    void model.loadBuilds();
    lists[1]?.answer(listed([running]));
    lists[0]?.fail(BUSY);
    await settled();
    expect(model.state.absent).toBeNull();
  });

  it('is reported once when a list says that the build has ended', async () => {
    const ended: string[] = [];
    model.ended.connect((_, build) => void ended.push(build.state));
    server.known = [finished];
    await model.loadBuilds();
    server.end(running.id, {});
    await settled();
    expect(ended).toEqual(['finished']);
  });

  it('is removed after the deletion, for any later answer', async () => {
    server.end(running.id, { state: 'finished', result: RESULT });
    await settled();
    const lists = held<Builds>(server, 'builds');
    void model.loadBuilds();
    const follower = server.followers.get(running.id);
    await model.forget(running.id);
    lists[0]?.answer(listed([finished]));
    follower?.build(finished);
    await settled();
    expect(model.state.builds).toEqual([]);
  });
});
