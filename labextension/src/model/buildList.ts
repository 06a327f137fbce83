/** The list of builds on the server. The events of each build are followed until the build has ended. */

import type { Build } from '../api/contract';
import type { Server } from '../api/server';
import type { Connection } from '../api/updates';
import { withEvents } from './build';
import { faultOf } from './fault';
import { Generation } from './generation';
import { activeBuilds, connectionOf, isOver, progressOf, withBuild, withBuilds } from './state';
import type { Store } from './store';

export interface BuildListObserver {
  /** A build that was queued or running has ended. */
  ended(build: Build): void;
  /** The server no longer has a build that the panel followed. */
  forgotten(build: Build): void;
  /** The server answers. */
  connected(): void;
}

export class BuildList {
  /** Stops following each build that is or was followed, by the build's id. */
  private readonly followed = new Map<string, () => void>();
  /** The ids of removed builds: an older answer of the server may still contain them. */
  private readonly removed = new Set<string>();
  private readonly lists = new Generation();

  constructor(
    private readonly server: Server,
    private readonly store: Store,
    private readonly observer: BuildListObserver
  ) {}

  dispose(): void {
    this.followed.forEach(stop => stop());
    this.followed.clear();
  }

  find(id: string): Build | undefined {
    return this.store.state.builds.find(build => build.id === id);
  }

  /** Load the list of the server. It also has builds from before a reload and from other windows. */
  async load(): Promise<void> {
    const isLatest = this.lists.next();
    try {
      const { builds, total } = await this.server.builds();
      if (isLatest()) {
        this.store.set({ absent: null, unlisted: Math.max(0, total - builds.length) });
        this.replace(withBuilds(this.store.state, builds));
      }
    } catch (error) {
      if (isLatest()) {
        this.store.set({ absent: faultOf(error) });
      }
    }
  }

  /** Find builds that another window has started. */
  async discover(): Promise<void> {
    // The events of a build that runs or waits come with the other builds.
    if (activeBuilds(this.store.state).length) {
      return;
    }
    try {
      (await this.server.active()).forEach(build => this.add(build));
    } catch {
      // The list of builds says why the server does not answer.
    }
  }

  /** Add a build, or update it. */
  add(build: Build): void {
    this.replace(withBuild(this.store.state.builds, build));
  }

  /** Remove a build that is no longer in the server's history. */
  remove(id: string): void {
    this.removed.add(id);
    this.followed.get(id)?.();
    this.followed.delete(id);
    const { builds, connections, progress } = this.store.state;
    this.store.set({
      builds: builds.filter(build => build.id !== id),
      connections: without(connections, id),
      progress: without(progress, id)
    });
  }

  /** Follow the events of a build; an ended build replays them once. */
  follow(id: string): void {
    if (this.followed.has(id)) {
      return;
    }
    const { store } = this;
    const stop = this.server.follow(id, {
      lastSeq: () => progressOf(store.state, id).seq,
      events: events => {
        const progress = withEvents(progressOf(store.state, id), events);
        store.set({ progress: { ...store.state.progress, [id]: progress } });
      },
      build: build => this.add(build),
      others: builds => builds.forEach(build => this.add(build)),
      connection: connection => this.connect(id, connection),
      forgotten: () => {
        const build = this.find(id);
        this.remove(id);
        if (build) {
          this.observer.forgotten(build);
        }
      }
    });
    this.followed.set(id, stop);
  }

  private connect(id: string, connection: Connection): void {
    const { state } = this.store;
    if (connectionOf(state, id) !== connection) {
      this.store.set({ connections: { ...state.connections, [id]: connection } });
    }
    if (connection === 'open') {
      this.observer.connected();
    }
  }

  private replace(builds: readonly Build[]): void {
    const before = new Map(this.store.state.builds.map(build => [build.id, build]));
    this.store.set({ builds: builds.filter(build => !this.removed.has(build.id)) });
    for (const build of this.store.state.builds) {
      const known = before.get(build.id);
      if (!isOver(build)) {
        this.follow(build.id);
      } else if (known && !isOver(known)) {
        this.observer.ended(build);
      }
    }
  }
}

function without<Value>(record: Readonly<Record<string, Value>>, key: string): Record<string, Value> {
  const { [key]: _, ...others } = record;
  return others;
}
