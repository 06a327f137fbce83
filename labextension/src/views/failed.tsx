/** A failed or cancelled build: the reason, and what to do. */

import React from 'react';

import type { Build } from '../api/contract';
import { registryOf } from '../model/destination';
import { failureLine, plain, report } from '../model/report';
import { progressOf, type PanelState } from '../model/state';
import { Actions } from './actions';
import { useSurroundings } from './context';
import { AllowSecrets } from './environment';
import { Log } from './log';
import { CopyButton, Link, Notice } from './parts';
import { SignInAfter } from './signIn';
import { buildName, stateWord } from './words';

export function Failed(props: { build: Build; state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { build, state } = props;
  const verifies = build.command === 'verify';
  const progress = progressOf(state, build.id);
  const line = failureLine(progress);
  const fault = build.error ?? {
    code: build.state,
    message: build.state === 'cancelled' ? (verifies ? trans.__('You cancelled this verification.') : trans.__('You cancelled this build.')) : stateWord(trans, build.state),
    hint: build.state === 'cancelled' && !verifies ? trans.__('What it had built is kept: the next one is faster.') : ''
  };
  return (
    <>
      <p className="jp-CondaBuild-name jp-CondaBuild-cut">{build.request.reference || build.request.archive}</p>
      <Notice kind={build.state === 'cancelled' ? 'info' : 'error'} fault={fault}>
        {fault.code === 'secrets_found' && <AllowSecrets state={state} />}
        {build.request.push && <SignInAfter fault={fault} registry={registryOf(build.request.reference, state.status?.settings.registry ?? '')} />}
        {line && build.state !== 'cancelled' && <pre className="jp-CondaBuild-mono">{plain(line.text)}</pre>}
      </Notice>
      <div className="jp-CondaBuild-links">
        {build.command === 'build' && build.request.prefix !== '' && build.request.prefix === state.snapshot?.prefix && (
          <Link onClick={() => model.editAgain(build)}>{trans.__('Edit and retry')}</Link>
        )}
        <Actions build={build} state={state} />
        <span className="jp-CondaBuild-copyReport">
          {trans.__('Copy report')}
          <CopyButton text={() => report(build, progress, state.status?.version ?? '')} label={trans.__('Copy report')} />
        </span>
      </div>
      <Log lines={progress.lines} missed={progress.missed} name={buildName(build)} />
    </>
  );
}
