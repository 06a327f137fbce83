/** A model of the panel with a server of its own, for each test of a file; and the answers that display an environment. */

import { beforeEach, vi } from 'vitest';

import type { Snapshot } from '../src/api/contract';
import { PanelModel } from '../src/model/panel';
import type { Subject } from '../src/model/state';
import { FakeServer } from './fakeServer';
import { settled } from './held';

export let server: FakeServer;
export let model: PanelModel;

/**
 * Make a server and a model before each test. The clock moves only as the tests say.
 *
 * @param now - The time at the beginning of each test.
 */
export function setUp(now?: Date): void {
  beforeEach(() => {
    vi.useFakeTimers(now && { now });
    server = new FakeServer();
    model = new PanelModel(server);
    return () => {
      model.dispose();
      vi.useRealTimers();
    };
  });
}

export const kernel = (id: string): Subject => ({ source: { kernel_id: id }, title: `${id}.ipynb` });

/** Answer the open requests for snapshots. */
export async function answer(change: Partial<Snapshot> = {}): Promise<void> {
  for (let asked = 0; asked !== server.snapshots.length; ) {
    asked = server.snapshots.length;
    server.snapshots.forEach(each => each.answer(change));
    await settled();
  }
}

/** The panel after the environment of a kernel has been read and the plan has been compared. */
export async function ready(change: Partial<Snapshot> = {}, id = 'a'): Promise<void> {
  model.choose(kernel(id), false);
  void model.refresh();
  await settled();
  await answer(change);
}
