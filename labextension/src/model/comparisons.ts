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
    this.store.set({ comparison: { before, after: now, changes: null, fault: null } });
    const comparison = await this.difference(before, now);
    const displayed = this.store.state.comparison;
    if (displayed?.before.id === before.id && displayed.after.id === now.id) {
      this.store.set({ comparison });
    }
  }

  private async difference(before: Build, after: Build): Promise<Comparison> {
    try {
      const { changes } = await this.server.difference({ lockfile: lockDigestOf(before) }, { lockfile: lockDigestOf(after) });
      return { before, after, changes, fault: null };
    } catch (error) {
      return { before, after, changes: null, fault: faultOf(error) };
    }
  }
}

/** The digest of the lock file from which a build was made. */
function lockDigestOf({ request, result }: Build): string {
  return result?.environment || request.lockfile;
}
