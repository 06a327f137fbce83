/** The registries that a person may choose, and whether the person may push to the registry of the form. */

import type { Login, Permission } from '../api/contract';
import type { Server } from '../api/server';
import { faultOf } from './fault';
import { Generation } from './generation';
import { isComparable } from './possible';
import type { PanelState } from './state';
import type { Store } from './store';

/** A registry, with a path in it, and how it is known. `user` is empty without a login. */
export interface KnownRegistry {
  name: string;
  from: 'setting' | 'history' | 'login';
  user: string;
}

/** The registries where the path of an image begins with the user's name. */
const PERSONAL = new Set(['docker.io', 'ghcr.io', 'quay.io']);

export class Registries {
  private readonly lists = new Generation();
  private readonly permissions = new Generation();
  /** The repository that was asked for last, with its registry. */
  private asked = '';

  constructor(
    private readonly server: Server,
    private readonly store: Store
  ) {}

  /** Load the logins of the user. */
  async load(): Promise<void> {
    const isLatest = this.lists.next();
    try {
      const logins = await this.server.logins();
      if (isLatest()) {
        this.store.set({ logins });
      }
    } catch {
      // The panel works without the list.
    }
  }

  /** Ask the registry of the form whether the user may push, unless it has just been asked for the same repository. */
  async check(again = false): Promise<void> {
    const { state } = this.store;
    const { reference } = state.form;
    const repository = isComparable(state) ? `${state.status?.settings.registry ?? ''} ${reference.replace(/:[\w.-]+$/, '')}` : '';
    if (repository === this.asked && !again) {
      return;
    }
    this.asked = repository;
    const isLatest = this.permissions.next();
    this.store.set({ permission: null });
    if (!repository) {
      return;
    }
    try {
      const permission: Permission = await this.server.permission(reference);
      if (isLatest()) {
        this.store.set({ permission });
      }
    } catch (error) {
      // The plan says why the registry cannot be used.
      if (isLatest() && faultOf(error).code !== 'registry_not_allowed') {
        this.asked = '';
      }
    }
  }
}

/** The registries of the settings, of the history and of the user's logins, the most useful first. */
export function registriesOf({ builds, logins, status }: PanelState): KnownRegistry[] {
  const found = new Map<string, KnownRegistry>();
  const add = (name: string, from: KnownRegistry['from']): void => {
    if (name && !found.has(name)) {
      found.set(name, { name, from, user: userOf(logins, name) });
    }
  };
  add((status?.settings.registry ?? '').replace(/\/+$/, ''), 'setting');
  for (const { command, request, result } of builds) {
    if (command === 'build' && request.push && result) {
      add(result.reference.split('/').slice(0, -1).join('/'), 'history');
    }
  }
  for (const { registry, user } of logins ?? []) {
    const isKnown = [...found.keys()].some(name => name.split('/')[0] === registry);
    if (!isKnown) {
      add(PERSONAL.has(registry) && /^[a-z0-9-]+$/i.test(user) ? `${registry}/${user.toLowerCase()}` : registry, 'login');
    }
  }
  return [...found.values()];
}

/** The reference with another registry and path before its last part. */
export function movedTo(registry: string, reference: string): string {
  return `${registry}/${reference.split('/').pop() ?? ''}`;
}

function userOf(logins: PanelState['logins'], name: string): string {
  return logins?.find(({ registry }: Pick<Login, 'registry'>) => registry === name.split('/')[0])?.user ?? '';
}
