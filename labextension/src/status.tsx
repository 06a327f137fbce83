/** The item in the status bar, displayed while builds are running or waiting. */

import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';

import { containerIcon } from './icons';
import type { PanelModel } from './model/panel';
import { activeBuilds, progressOf } from './model/state';
import { whole } from './model/steps';
import { doingText } from './views/words';

export class StatusItem extends ReactWidget {
  constructor(
    private readonly model: PanelModel,
    private readonly open: (id: string) => void,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-CondaBuild-status');
  }

  render(): JSX.Element {
    return <UseSignal signal={this.model.changed}>{() => this.item()}</UseSignal>;
  }

  private item(): JSX.Element | null {
    const [build, ...others] = activeBuilds(this.model.state);
    if (!build) {
      return null;
    }
    const { fraction } = whole(progressOf(this.model.state, build.id));
    const percent = fraction === null ? '' : ` ${Math.round(fraction * 100)} %`;
    return (
      <button type="button" onClick={() => this.open(build.id)} title={this.trans.__('Show the build')}>
        <containerIcon.react tag="span" height="14px" width="14px" />
        {doingText(this.trans, build)}
        {percent}
        {others.length > 0 && ` ${this.trans.__('and %1 more', others.length)}`}
      </button>
    );
  }
}
