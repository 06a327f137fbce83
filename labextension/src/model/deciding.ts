/** What a person decides to leave out of the image or to take into it, for each environment. */

import type { Environment } from './environment';
import { NO_SELECTION, withDecisions, withoutDecision, type Decision, type Selection } from './selection';
import type { Form } from './state';
import type { Store } from './store';

export class Deciding {
  /** @param edit - Changes the form as a person does. */
  constructor(
    private readonly environment: Environment,
    private readonly store: Store,
    private readonly edit: (change: Partial<Form>) => void
  ) {}

  /** Leave something out of the image, or take it into it. */
  add(decisions: readonly Decision[]): void {
    this.edit({ selection: withDecisions(this.store.state.form.selection, decisions) });
  }

  takeBack(decision: Decision): void {
    this.edit({ selection: withoutDecision(this.store.state.form.selection, decision) });
  }

  /** The selection for each environment, by its folder. */
  get all(): ReadonlyMap<string, Selection> {
    return this.environment.selections;
  }

  /** Use the selections of an earlier session. */
  recall(selections: ReadonlyMap<string, Selection>): void {
    this.environment.recall(selections);
  }

  /** Use the selections of another window, which are newer. */
  follow(selections: ReadonlyMap<string, Selection>): void {
    const { snapshot, form } = this.store.state;
    this.environment.follow(selections);
    const mine = selections.get(snapshot?.prefix ?? '') ?? NO_SELECTION;
    if (snapshot && JSON.stringify(mine) !== JSON.stringify(form.selection)) {
      this.edit({ selection: mine });
    }
  }
}
