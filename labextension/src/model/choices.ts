/** The environments that a person may choose, and which one is displayed: that of the notebook, or a chosen one. */

import type { Environments } from '../api/contract';
import type { Server } from '../api/server';
import { faultOf } from './fault';
import { Generation } from './generation';
import type { Choice, Subject } from './state';
import type { Store } from './store';

export class Choices {
  private readonly lists = new Generation();

  constructor(
    private readonly server: Server,
    private readonly store: Store
  ) {}

  /** Load the environments of all kernels and kernelspecs of the server. */
  async load(): Promise<void> {
    const isLatest = this.lists.next();
    try {
      const choices = choicesOf(await this.server.environments());
      if (isLatest()) {
        this.store.set({ choices, choicesFault: null });
      }
    } catch (error) {
      if (isLatest()) {
        this.store.set({ choicesFault: faultOf(error) });
      }
    }
  }

  /**
   * The kernel of the current notebook, which may be another one than before. A chosen environment is displayed until the
   * person changes to another notebook or kernel.
   *
   * @param own - Whether the person asked for the environment of this notebook.
   * @returns the kernel to display.
   */
  follow(notebook: Subject | null, own: boolean): Subject | null {
    const { chosen, notebook: before, subject } = this.store.state;
    const isSame = JSON.stringify(notebook?.source) === JSON.stringify(before?.source);
    const stays = chosen && isSame && !own;
    this.store.set({ notebook, chosen: stays });
    if (stays) {
      return subject;
    }
    return notebook;
  }

  /** The kernel to display after a person has chosen an environment, or the notebook's with null. */
  choose(choice: Subject | null): Subject | null {
    this.store.set({ chosen: choice !== null });
    return choice ? { source: choice.source, title: choice.title } : this.store.state.notebook;
  }
}

/** One choice for each environment, by name. A running kernel comes before a kernelspec: it has the variables of its start. */
export function choicesOf({ kernels, kernelspecs }: Environments): Choice[] {
  const found = new Map<string, Choice>();
  const add = (entry: Environments['kernelspecs'][number], source: Choice['source'], runs: boolean): void => {
    const { prefix, environment, display_name: title } = entry;
    if (prefix && !found.has(prefix)) {
      found.set(prefix, { prefix, name: environment ?? prefix, title, source, runs });
    }
  };
  kernels.forEach(kernel => add(kernel, { kernel_id: kernel.id }, true));
  kernelspecs.forEach(kernelspec => add(kernelspec, { kernel_name: kernelspec.name }, false));
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name) || a.prefix.localeCompare(b.prefix));
}
