/** Stores the panel's state in one place. Each change replaces the whole state. */

import { Signal, type ISignal } from '@lumino/signaling';

import { INITIAL, type PanelState } from './state';

export class Store {
  private value: PanelState = INITIAL;
  private readonly signal = new Signal<this, void>(this);

  get state(): PanelState {
    return this.value;
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  set(change: Partial<PanelState>): void {
    this.value = { ...this.value, ...change };
    this.signal.emit();
  }

  dispose(): void {
    Signal.clearData(this);
  }
}
