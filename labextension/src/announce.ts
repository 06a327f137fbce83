/** Tells of builds while the panel is closed: a notification with progress, and how it ended. */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Build } from './api/contract';
import type { PanelModel, Refusal } from './model/panel';
import { activeBuild, progressOf } from './model/state';
import { whole } from './model/steps';
import { doingText, doneText, faultText, requestName } from './views/words';

/** Between two updates of a notification, in milliseconds. */
const PACE = 1000;

export class Announcer {
  /** Whether a person wants to be told. */
  enabled = true;
  private readonly shown = new Map<string, string>();
  private due = 0;

  constructor(
    private readonly model: PanelModel,
    private readonly panelIsOpen: () => boolean,
    private readonly open: (id: string) => void,
    private readonly trans: TranslationBundle
  ) {
    model.changed.connect(() => this.progress());
    model.ended.connect((_, build) => this.end(build));
    model.refused.connect((_, refusal) => this.refuse(refusal));
  }

  private progress(): void {
    this.dismissForgotten();
    const build = activeBuild(this.model.state);
    const now = Date.now();
    if (!this.enabled || !build || now < this.due || (this.panelIsOpen() && !this.shown.has(build.id))) {
      return;
    }
    this.due = now + PACE;
    const { fraction } = whole(progressOf(this.model.state, build.id), build.request);
    const message = doingText(this.trans, build);
    const options = { autoClose: false as const, actions: this.actions(build), ...(fraction && { progress: fraction }) };
    const id = this.shown.get(build.id);
    if (!id || !Notification.update({ id, message, ...options })) {
      if (!id) {
        this.shown.set(build.id, Notification.emit(message, 'in-progress', options));
      }
    }
  }

  /** Builds that are no longer in the history never end here. */
  private dismissForgotten(): void {
    for (const [build, notification] of this.shown) {
      if (!this.model.state.builds.some(({ id }) => id === build)) {
        this.shown.delete(build);
        Notification.dismiss(notification);
      }
    }
  }

  private end(build: Build): void {
    const id = this.shown.get(build.id);
    this.shown.delete(build.id);
    if (this.panelIsOpen() || !this.enabled) {
      if (id) {
        Notification.dismiss(id);
      }
      return;
    }
    const message = doneText(this.trans, build);
    const types = { finished: 'success', cancelled: 'info' } as const;
    const type = build.state === 'finished' || build.state === 'cancelled' ? types[build.state] : 'error';
    const options = { autoClose: false as const, actions: this.actions(build) };
    if (!id || !Notification.update({ id, message, type, ...options })) {
      Notification.emit(message, type, options);
    }
  }

  /** The answer to a click: it is told whether the panel is open or not, for the panel shows something else. */
  private refuse({ asked, fault }: Refusal): void {
    const message = this.trans.__('%1 failed: %2', requestName(asked), faultText(this.trans, fault));
    Notification.emit(message, 'error', { autoClose: false });
  }

  private actions(build: Build): Notification.IAction[] {
    return [{ label: this.trans.__('Show'), callback: () => this.open(build.id) }];
  }
}
