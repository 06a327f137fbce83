/** A finished build: how to use its image, and the sizes of its packages. */

import { checkIcon } from '@jupyterlab/ui-components';
import React, { useMemo, useState } from 'react';

import type { Build, Finished as Result } from '../api/contract';
import { checkLines } from '../model/checks';
import { Lines } from '../model/lines';
import { archiveOf } from '../model/request';
import { progressOf, type PanelState } from '../model/state';
import { secondsText, shortDigest, sizeText } from '../model/units';
import { Actions } from './actions';
import { Bytes } from './bytes';
import { Changes } from './changes';
import { CheckLine } from './check';
import { useSurroundings } from './context';
import { Exports } from './exports';
import { Log } from './log';
import { Opener } from './opener';
import { CopyButton, Link } from './parts';
import { Share } from './share';
import { TryBuild } from './trial';
import { EarlierWarnings } from './warnings';
import { buildName, sentText } from './words';

export function Finished(props: { build: Build; result: Result; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const { build, result, state } = props;
  const progress = progressOf(state, build.id);
  const facts = [
    secondsText(result.seconds),
    build.request.push && trans.__('pushed %1 of %2', sizeText(result.bytes_pushed), sizeText(result.size)),
    !build.request.push && sizeText(result.size),
    trans.__('%1 of %2 layers built', result.layers - result.layers_reused, result.layers)
  ];
  const sent = sentText(trans, result.sent);
  const isHere = build.request.load && !build.request.push;
  return (
    <>
      <div className="jp-CondaBuild-heading jp-mod-done">
        <checkIcon.react tag="span" height="18px" width="18px" />
        <div>
          <h2 className="jp-CondaBuild-title" tabIndex={-1}>
            {isHere ? trans.__('Ready on this machine') : trans.__('Ready to share')}
          </h2>
          <p className="jp-CondaBuild-quiet">{facts.filter(Boolean).join(' · ')}</p>
          {sent && <p className="jp-CondaBuild-quiet">{sent}</p>}
        </div>
      </div>
      {build.request.archive ? (
        <Archive build={build} />
      ) : (
        <Copyable text={result.reference} label={trans.__('Copy the name of the image')} />
      )}
      <div className="jp-CondaBuild-row jp-CondaBuild-quiet" title={result.digest}>
        <span className="jp-CondaBuild-mono">{shortDigest(result.digest)}</span>
        <CopyButton text={result.digest} label={trans.__('Copy the digest')} />
      </div>
      <CheckLine build={build} state={state} />
      <TryBuild key={result.digest} build={build} state={state} />
      <Share commands={build.share} />
      <EarlierWarnings warnings={progress.warnings} />
      <Bytes state={state} build={build} />
      <Afterwards build={build} state={state} />
      {state.since && <Changes comparison={state.since} />}
    </>
  );
}

/** The archive of a build: a download, and its place in the file browser. */
function Archive(props: { build: Build }): JSX.Element {
  const { model, showFile, trans } = useSurroundings();
  const { kind, path, name } = archiveOf(props.build);
  return (
    <>
      <p className="jp-CondaBuild-name jp-CondaBuild-cut">{name}</p>
      {kind === 'oci-archive' && (
        <a className="jp-CondaBuild-go jp-mod-styled jp-mod-accept" href={model.archiveUrl(props.build)} download={name}>
          {trans.__('Download')}
        </a>
      )}
      <div className="jp-CondaBuild-links">
        <Link onClick={() => showFile(path)}>{trans.__('Show in the file browser')}</Link>
      </div>
    </>
  );
}

function Copyable(props: { text: string; label: string }): JSX.Element {
  return (
    <div className="jp-CondaBuild-code jp-mod-name">
      <pre tabIndex={0}>{props.text}</pre>
      <CopyButton text={props.text} label={props.label} />
    </div>
  );
}

function Afterwards(props: { build: Build; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const [log, setLog] = useState(false);
  const [files, setFiles] = useState(false);
  const { build, state } = props;
  const progress = progressOf(state, build.id);
  const lockfile = build.command === 'build' ? build.result?.environment : '';
  const check = state.checks[build.id];
  // Lists of lines share a buffer that only the newest of them may extend: the log's own list stays the newest.
  const lines = useMemo(() => Lines.NONE.with([...progress.lines.slice(), ...checkLines(check)]), [progress.lines, check]);
  const exported = lockfile && { lockfile, reference: build.result?.reference || build.request.reference };
  return (
    <>
      <div className="jp-CondaBuild-links">
        <Actions build={build} state={state} />
        <Opener open={log} setOpen={setLog}>
          {trans.__('Log')}
        </Opener>
        {exported && (
          <Opener open={files} setOpen={setFiles}>
            {trans.__('Export files')} {files ? '▴' : '▾'}
          </Opener>
        )}
      </div>
      {files && exported && <Exports exported={exported} />}
      {log && <Log lines={lines} missed={progress.missed} name={buildName(build)} />}
    </>
  );
}
