/** Conda environments that are made of the opened image: starts one, follows it to its end, and cancels it. */

import type { Fault, Inspection, Recreation } from '../api/contract';
import type { Server } from '../api/server';
import { faultOf } from './fault';

/** What the view shows. */
export interface Recreated {
  /** The environment that is being made or is ready; null if there is none. */
  recreation: Recreation | null;
  recreationFault: Fault | null;
}

/** The time between two questions about the progress, in milliseconds. */
const INTERVAL = 1500;

/** The folder that is suggested for the environment of an image, relative to the server's root folder. */
export function suggestedFolder(reference: string): string {
  const last = reference.replace(/@.*$/, '').replace(/\.tar$/, '').split('/').pop() ?? '';
  const name = last.replace(/^[a-z]+-[a-z]+:/, '').replace(/[^\w.-]+/g, '-').replace(/^[-.]+|[-.]+$/g, '');
  return `envs/${name || 'environment'}`;
}

export class Recreations {
  private waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly server: Server,
    private readonly change: (change: Partial<Recreated>) => void
  ) {}

  /** Ask no more. What is being made goes on. */
  leave(): void {
    clearTimeout(this.waiting);
  }

  /** Display the environment of an image that is being made, if there is one. */
  async load(image: Inspection, isLatest: () => boolean): Promise<void> {
    const all = await this.server.recreations().catch(() => []);
    const found = all.find(({ digest, state }) => digest === image.digest && state === 'running');
    if (found && isLatest()) {
      this.follow(found, isLatest);
    }
  }

  /** Make an environment of the image that the person sees. */
  async start({ digest, reference }: Inspection, target: string, isLatest: () => boolean): Promise<void> {
    this.change({ recreation: null, recreationFault: null });
    try {
      const recreation = await this.server.recreate({ reference, seen: digest, target });
      if (isLatest()) {
        this.follow(recreation, isLatest);
      }
    } catch (error) {
      if (isLatest()) {
        this.change({ recreationFault: faultOf(error) });
      }
    }
  }

  /** Cancel it. It may have ended in the meantime. */
  async cancel({ id }: Recreation, isLatest: () => boolean): Promise<void> {
    clearTimeout(this.waiting);
    try {
      const recreation = await this.server.endRecreation(id);
      if (isLatest()) {
        this.follow(recreation, isLatest);
      }
    } catch (error) {
      if (isLatest()) {
        this.change({ recreation: null, recreationFault: faultOf(error) });
      }
    }
  }

  private follow(recreation: Recreation, isLatest: () => boolean): void {
    const { fault, state } = recreation;
    const isShown = state === 'running' || state === 'finished';
    this.change({ recreation: isShown ? recreation : null, recreationFault: fault });
    if (state === 'running') {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => void this.look(recreation, isLatest), INTERVAL);
    }
  }

  private async look(before: Recreation, isLatest: () => boolean): Promise<void> {
    const all = await this.server.recreations().catch(() => [before]);
    if (isLatest()) {
      const now = all.find(({ id }) => id === before.id);
      if (now) {
        this.follow(now, isLatest);
      } else {
        this.change({ recreation: null });
      }
    }
  }
}
