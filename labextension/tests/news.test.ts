import { beforeEach, describe, expect, it } from 'vitest';

import { settled } from './held';
import { model, server, setUp } from './setUp';
import { aBuild, RESULT } from './things';

setUp();

describe('the news', () => {
  const builds = Array.from({ length: 7 }, (_, number) => aBuild({ id: String(number).repeat(16), created: number, state: 'running' }));
  const [first, second] = builds as [(typeof builds)[0], (typeof builds)[0]];
  const told = (): string[] => model.state.news.map(item => ('ended' in item ? item.ended.id : item.refused.fault.code));

  beforeEach(async () => {
    server.known = builds;
    await model.loadBuilds();
  });

  it('have each build that ends while the panel displays another view, until the person looks at it', async () => {
    model.show(first.id);
    server.end(first.id, { state: 'finished', result: RESULT });
    server.end(second.id, { state: 'cancelled' });
    await settled();
    expect(told()).toEqual([second.id]);
    model.show(second.id);
    expect(told()).toEqual([]);
  });

  it('have the newest five builds, without those that a person closes or deletes', async () => {
    builds.forEach(({ id }) => server.end(id, { state: 'finished', result: RESULT }));
    await settled();
    const newest = builds.slice(2).map(({ id }) => id);
    expect(told()).toEqual(newest);
    const item = model.state.news[0];
    model.news.remove(item!);
    await model.forget(newest[1]!);
    expect(told()).toEqual(newest.slice(2));
  });
});
