/** Notifications about builds that the panel does not display: their progress while the panel is closed, and how they ended. */

import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Build } from './api/contract';
import { Desktop } from './desktop';
import type { PanelModel, Refusal } from './model/panel';
import { activeBuilds, progressOf, shownBuild } from './model/state';
import { whole } from './model/steps';
import { doingText, doneText, faultText, requestName } from './views/words';

/** The time that a notification is displayed beside the open panel, in milliseconds: it lies over the panel's button. */
const BESIDE_PANEL = 4000;

/** The time between two updates of a notification, in milliseconds. */
const UPDATE_INTERVAL = 1000;

export class Announcer {
  /** Whether notifications are enabled in the settings. */
  enabled = true;
  readonly desktop = new Desktop();
  /** The notification of each build that is running, by the build's id. */
  private readonly notifications = new Map<string, string>();
  /** The notifications of builds that have ended while the panel was closed. */
  private readonly ended: string[] = [];
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
      // The panel lists these builds.
      this.ended.splice(0).forEach(id => Notification.dismiss(id));
    }
    const now = Date.now();
    if (!this.enabled || now < this.nextUpdate) {
      return;
    }
    for (const build of activeBuilds(this.model.state)) {
      if (!this.panelIsOpen() || this.notifications.has(build.id)) {
        this.nextUpdate = now + UPDATE_INTERVAL;
        this.report(build);
      }
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
    const isDisplayed = this.panelIsOpen() && shownBuild(this.model.state)?.id === build.id;
    if (isDisplayed || !this.enabled) {
      if (id) {
        Notification.dismiss(id);
      }
      return;
    }
    const message = doneText(this.trans, build);
    const types = { finished: 'success', cancelled: 'info' } as const;
    const type = build.state === 'finished' || build.state === 'cancelled' ? types[build.state] : 'error';
    const isOpen = this.panelIsOpen();
    const options = { autoClose: isOpen ? BESIDE_PANEL : (false as const), actions: this.actions(build) };
    const told = id && Notification.update({ id, message, type, ...options }) ? id : Notification.emit(message, type, options);
    if (!isOpen) {
      this.ended.push(told);
    }
  }

  /** Report a refused request also while the panel is open, because the panel displays another view. */
  private reportRefusal({ asked, fault }: Refusal): void {
    const message = this.trans.__('%1 failed: %2', requestName(asked), faultText(this.trans, fault));
    Notification.emit(message, 'error', { autoClose: false });
  }

  private actions(build: Build): Notification.IAction[] {
    return [{ label: this.trans.__('Show'), callback: () => this.open(build.id) }];
  }
}
