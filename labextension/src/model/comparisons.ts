/** The comparisons of builds: the changes in the displayed build, and the comparison that a person asks for. */

import type { Build } from '../api/contract';
import type { Server } from '../api/server';
import { faultOf } from './fault';
import { Generation } from './generation';
import { previousImage, shownBuild, type Comparison } from './state';
import type { Store } from './store';

export class Comparisons {
  private readonly latest = new Generation();

  constructor(
    private readonly server: Server,
    private readonly store: Store
  ) {}

  /** Answers that are still to come are for a view that is no longer displayed. */
  leave(): void {
    this.latest.next();
  }

  /** Load the changes since the previous image of the same environment, for the build that is displayed. */
  loadChanges(): void {
    const { state } = this.store;
    const build = shownBuild(state);
    const before = build?.result && previousImage(state.builds, build.request.prefix, build.created);
    if (build && before) {
      const isLatest = this.latest.next();
      void this.difference(before, build).then(since => isLatest() && this.store.set({ since }));
    }
  }

  /** Display the differences between two builds. */
  async compare(before: Build, now: Build): Promise<void> {
    this.store.set({ comparison: comparing(before, now) });
    const comparison = await this.difference(before, now);
    const displayed = this.store.state.comparison;
    if (displayed?.before.id === before.id && displayed.after.id === now.id) {
      this.store.set({ comparison });
    }
  }

  private async difference(before: Build, after: Build): Promise<Comparison> {
    try {
      const { changes, files_changed, files_compared } = await this.server.difference({ build: before.id }, { build: after.id });
      const listed = changes.filter(({ manager }) => manager === 'file').length;
      return { before, after, changes, filesCompared: files_compared, unlisted: files_changed - listed, fault: null };
    } catch (error) {
      return { ...comparing(before, after), fault: faultOf(error) };
    }
  }
}

/** A comparison before its answer has come. */
function comparing(before: Build, after: Build): Comparison {
  return { before, after, changes: null, filesCompared: false, unlisted: 0, fault: null };
}
