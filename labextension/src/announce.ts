/** Notifications about builds while the panel is closed: their progress, and how they ended. An open panel tells it itself. */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Build } from './api/contract';
import { Desktop } from './desktop';
import type { Refusal } from './model/news';
import type { PanelModel } from './model/panel';
import { activeBuilds, progressOf } from './model/state';
import { whole } from './model/steps';
import { doingText, doneText, refusedText } from './views/words';

/** The time between two updates of a notification, in milliseconds. */
const UPDATE_INTERVAL = 1000;

export class Announcer {
  /** Whether notifications are enabled in the settings. */
  enabled = true;
  readonly desktop = new Desktop();
  /** The notification of each build that is running, by the build's id. */
  private readonly notifications = new Map<string, string>();
  /** The notifications of builds that ended and of requests that were refused while the panel was closed. */
  private readonly told: string[] = [];
  private nextUpdate = 0;

  constructor(
    private readonly model: PanelModel,
    private readonly panelIsOpen: () => boolean,
    private readonly open: (id: string) => void,
    private readonly trans: TranslationBundle
  ) {
    model.changed.connect(() => this.progress());
    model.ended.connect((_, build) => this.end(build));
    model.refused.connect((_, refusal) => this.reportRefusal(refusal));
  }

  private progress(): void {
    this.dismissForgotten();
    if (this.panelIsOpen()) {
      // A notification lies over the button of the panel.
      [...this.told.splice(0), ...this.notifications.values()].forEach(id => Notification.dismiss(id));
      this.notifications.clear();
      return;
    }
    const now = Date.now();
    if (!this.enabled || now < this.nextUpdate) {
      return;
    }
    for (const build of activeBuilds(this.model.state)) {
      this.nextUpdate = now + UPDATE_INTERVAL;
      this.report(build);
    }
  }

  private report(build: Build): void {
    const { fraction } = whole(progressOf(this.model.state, build.id));
    const message = doingText(this.trans, build);
    const options = { autoClose: false as const, actions: this.actions(build), ...(fraction && { progress: fraction }) };
    const id = this.notifications.get(build.id);
    if (!id || !Notification.update({ id, message, ...options })) {
      if (!id) {
        this.notifications.set(build.id, Notification.emit(message, 'in-progress', options));
      }
    }
  }

  /** Forget a build that is no longer in the history: its end is not reported. */
  private dismissForgotten(): void {
    for (const [build, notification] of this.notifications) {
      if (!this.model.state.builds.some(({ id }) => id === build)) {
        this.notifications.delete(build);
        Notification.dismiss(notification);
      }
    }
  }

  private end(build: Build): void {
    const id = this.notifications.get(build.id);
    this.notifications.delete(build.id);
    this.desktop.tell(this.trans.__('Containerize environment'), doneText(this.trans, build), () => this.open(build.id));
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
    this.told.push(id && Notification.update({ id, message, type, ...options }) ? id : Notification.emit(message, type, options));
  }

  private reportRefusal(refusal: Refusal): void {
    if (!this.panelIsOpen()) {
      this.told.push(Notification.emit(refusedText(this.trans, refusal), 'error', { autoClose: false }));
    }
  }

  private actions(build: Build): Notification.IAction[] {
    return [{ label: this.trans.__('Show'), callback: () => this.open(build.id) }];
  }
}
