/** A verified image: a rebuild from its own lock file gives the same image. */

import { checkIcon } from '@jupyterlab/ui-components';
import React from 'react';

import type { Build, Finished as Result } from '../api/contract';
import { progressOf, type PanelState } from '../model/state';
import { secondsText, shortDigest } from '../model/units';
import { Actions } from './actions';
import { useSurroundings } from './context';
import { Log } from './log';
import { CopyButton } from './parts';
import { buildName } from './words';

export function Verified(props: { build: Build; result: Result; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const { build, result, state } = props;
  const progress = progressOf(state, build.id);
  return (
    <>
      <div className="jp-CondaBuild-heading jp-mod-done" role="status">
        <checkIcon.react tag="span" height="18px" width="18px" />
        <div>
          <h2>{trans.__('It is what its lock file makes')}</h2>
          <p className="jp-CondaBuild-quiet">
            {[
              buildName(build),
              secondsText(result.seconds),
              trans._n('%1 package or file proved', '%1 packages or files proved', result.proved)
            ].join(' · ')}
          </p>
        </div>
      </div>
      {result.unproved > 0 && (
        <p>
          {trans._n(
            '%1 comes from no package, so that nothing proves it; the log names it.',
            '%1 come from no package, so that nothing proves them; the log names them.',
            result.unproved
          )}
        </p>
      )}
      <div className="jp-CondaBuild-row jp-CondaBuild-quiet" title={result.digest}>
        <span className="jp-CondaBuild-mono">{shortDigest(result.digest)}</span>
        <CopyButton text={result.digest} label={trans.__('Copy the digest')} />
      </div>
      <div className="jp-CondaBuild-links">
        <Actions build={build} state={state} />
      </div>
      <Log lines={progress.lines} missed={progress.missed} name={buildName(build)} />
    </>
  );
}
