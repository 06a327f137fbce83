/** A verified image: a rebuild from its own lock file gives the same image, as far as it can be proved. */

import { checkIcon } from '@jupyterlab/ui-components';
import React from 'react';

import type { Build, Finished as Result } from '../api/contract';
import { progressOf, type PanelState } from '../model/state';
import { secondsText, shortDigest } from '../model/units';
import { Actions } from './actions';
import { useSurroundings } from './context';
import { Log } from './log';
import { CopyButton } from './parts';
import { buildName, isVerified, proofText, signatureText } from './words';

export function Verified(props: { build: Build; result: Result; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const { build, result, state } = props;
  const progress = progressOf(state, build.id);
  return (
    <>
      <div className={`jp-CondaBuild-heading${isVerified(build) ? ' jp-mod-done' : ''}`}>
        {isVerified(build) && <checkIcon.react tag="span" height="18px" width="18px" />}
        <div>
          <h2 className="jp-CondaBuild-title" tabIndex={-1}>
            {isVerified(build)
              ? trans.__('It is what its lock file makes')
              : trans.__('Nothing differs, but not all is proved')}
          </h2>
          <p className="jp-CondaBuild-quiet">
            {[
              buildName(build),
              secondsText(result.seconds),
              signatureText(trans, result)
            ]
              .filter(Boolean)
              .join(' · ')}
          </p>
        </div>
      </div>
      {result.proof && <p>{proofText(trans, result.proof)}</p>}
      {result.unproved > 0 && <p className="jp-CondaBuild-quiet">{trans.__('The log names each part that nothing proves, and says why.')}</p>}
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
