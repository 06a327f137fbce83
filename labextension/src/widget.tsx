/** The widget of the panel in the sidebar. It loads the views when it is first displayed. */

import { Clipboard, Dialog } from '@jupyterlab/apputils';
import type { ITranslator } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React, { lazy, Suspense } from 'react';

import { Fields } from './fields';
import { containerIcon } from './icons';
import type { PanelModel } from './model/panel';
import { DOMAIN, PANEL } from './tokens';
import type { Question, Surroundings } from './views/context';

const Panel = lazy(async () => ({ default: (await import('./views/panel')).Panel }));

export class PanelWidget extends ReactWidget {
  private readonly surroundings: Surroundings;
  private seen = false;

  constructor(
    private readonly model: PanelModel,
    translator: ITranslator,
    workspace: Pick<Surroundings, 'folder' | 'showFile'>
  ) {
    super();
    const trans = translator.load(DOMAIN);
    this.id = PANEL;
    this.addClass('jp-CondaBuild');
    this.title.icon = containerIcon;
    this.title.caption = trans.__('Containerize environment');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this.title.caption);
    this.node.tabIndex = -1;
    this.surroundings = {
      trans,
      language: languageTag(translator.languageCode),
      model,
      copy: text => Clipboard.copyToSystem(text),
      download,
      isAtServer: /^(localhost|127(\.\d+){3}|\[::1\])$/.test(window.location.hostname),
      ...workspace,
      confirm: async ({ title, text, yes, no, isVoid }) => {
        const buttons = [Dialog.cancelButton({ label: no }), Dialog.warnButton({ label: yes })];
        // Enter must not delete or cancel anything.
        return (await this.answer(new Dialog({ title, body: text, buttons, defaultButton: 0 }), isVoid)).button.accept;
      },
      ask: async ({ title, fields, yes, isVoid }) => {
        const buttons = [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.okButton({ label: yes })];
        const body = new Fields(fields);
        const { button, value } = await this.answer(new Dialog({ title, body, buttons, focusNodeSelector: 'input' }), isVoid);
        return button.accept && value?.every(Boolean) ? value : null;
      }
    };
  }

  /** Display a dialog until it is answered or its question is void. */
  private async answer<Value>(dialog: Dialog<Value>, isVoid: Question['isVoid']): Promise<Dialog.IResult<Value>> {
    const look = (): void => {
      if (isVoid?.(this.model.state)) {
        dialog.reject();
      }
    };
    const answer = dialog.launch();
    this.model.changed.connect(look);
    // The last change may be older than the dialog.
    look();
    try {
      return await answer;
    } finally {
      this.model.changed.disconnect(look);
      // The element that opened the dialog, to which the dialog gives the focus, may be gone.
      if (document.activeElement === document.body) {
        (this.node.querySelector<HTMLElement>('.jp-CondaBuild-title') ?? this.node).focus();
      }
    }
  }

  render(): JSX.Element {
    return (
      <Suspense fallback={null}>
        <Panel {...this.surroundings} />
      </Suspense>
    );
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.wake();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.attend();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    if (this.isVisible) {
      this.wake();
    }
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus();
  }

  /** Look at the environment while a person sees the panel. */
  attend(): void {
    this.model.attend(this.isVisible && !document.hidden);
  }

  /** Load everything when the panel is first displayed. Later, load only the data that may have changed. */
  private wake(): void {
    const { snapshot, subject, absent } = this.model.state;
    if (!this.seen || absent || (subject && !snapshot)) {
      this.seen = true;
      void this.model.refresh();
    } else {
      void this.model.loadBuilds();
    }
    this.attend();
  }
}

/** The language for dates. JupyterLab has had no language code when there is no language pack: version 4.2 has none. */
function languageTag(code: string | undefined): string {
  const tag = (code ?? 'en').replace('_', '-');
  return Intl.DateTimeFormat.supportedLocalesOf(/^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$/.test(tag) ? tag : 'en')[0] ?? 'en';
}

function download(name: string, content: string | Uint8Array): void {
  const type = typeof content === 'string' ? 'text/plain' : 'application/x-tar';
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name.replace(/[^\w.-]+/g, '-');
  link.click();
  URL.revokeObjectURL(url);
}
