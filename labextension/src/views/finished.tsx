/** A build that made an image: how to use it, and where its bytes are. */

import { checkIcon } from '@jupyterlab/ui-components';
import React, { useState } from 'react';

import type { Build, Finished as Result } from '../api/contract';
import { sizeTiles } from '../model/layerMap';
import { imageBefore, progressOf, type PanelState } from '../model/state';
import { secondsText, shortDigest, sizeText } from '../model/units';
import { Changes } from './changes';
import { useSurroundings } from './context';
import { LayerMap } from './layerMap';
import { Log } from './log';
import { CopyButton, Link, Notice, Section } from './parts';
import { Share } from './share';
import { buildName } from './words';

export function Finished(props: { build: Build; result: Result; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const { build, result, state } = props;
  const progress = progressOf(state, build.id);
  const facts = [
    secondsText(result.seconds),
    build.request.push && trans.__('pushed %1 of %2', sizeText(result.bytes_pushed), sizeText(result.size)),
    !build.request.push && sizeText(result.size),
    trans.__('%1 of %2 layers reused', result.layers_reused, result.layers)
  ];
  return (
    <>
      <div className="jp-CondaBuild-heading jp-mod-done" role="status">
        <checkIcon.react tag="span" height="18px" width="18px" />
        <div>
          <h2>{trans.__('Ready to share')}</h2>
          <p className="jp-CondaBuild-quiet">{facts.filter(Boolean).join(' · ')}</p>
        </div>
      </div>
      <Copyable text={result.reference || result.archive} label={trans.__('Copy the name of the image')} />
      <div className="jp-CondaBuild-row jp-CondaBuild-quiet" title={result.digest}>
        <span className="jp-CondaBuild-mono">{shortDigest(result.digest)}</span>
        <CopyButton text={result.digest} label={trans.__('Copy the digest')} />
      </div>
      {progress.warnings.map((warning, index) => (
        <Notice key={index} kind="warning" fault={warning} />
      ))}
      <Share commands={build.share} />
      <Bytes state={state} build={build} />
      <Actions build={build} state={state} />
      {state.since && <Changes comparison={state.since} />}
    </>
  );
}

function Copyable(props: { text: string; label: string }): JSX.Element {
  return (
    <div className="jp-CondaBuild-code">
      <pre tabIndex={0}>{props.text}</pre>
      <CopyButton text={props.text} label={props.label} />
    </div>
  );
}

function Bytes(props: { build: Build; state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const layers = Object.values(progressOf(props.state, props.build.id).layers);
  if (!layers.length) {
    return null;
  }
  const all = sizeTiles(layers, 3);
  const total = all.reduce((sum, tile) => sum + tile.size, 0);
  const heavy = all.filter(tile => tile.state === 'heavy');
  const share = heavy.reduce((sum, tile) => sum + tile.size, 0) / Math.max(total, 1);
  const names = heavy.map(tile => tile.name).join(', ');
  return (
    <Section title={trans.__('Where the bytes are')}>
      <LayerMap tiles={all} label={trans.__('Where the bytes are')} legend={[]} />
      <p className="jp-CondaBuild-quiet">{trans.__('%1: %2 % of the packages.', names, Math.round(share * 100))}</p>
    </Section>
  );
}

function Actions(props: { build: Build; state: PanelState }): JSX.Element {
  const { ask, model, trans } = useSurroundings();
  const [log, setLog] = useState(false);
  const { build, state } = props;
  const progress = progressOf(state, build.id);
  const before = imageBefore(state.builds, build.request.prefix, build.created);
  const rebase = async (): Promise<void> => {
    const base = await ask(
      trans.__('The same packages on another base'),
      trans.__('Base image'),
      build.request.base,
      trans.__('Build')
    );
    if (base) {
      await model.rebase(build, base);
    }
  };
  return (
    <>
      <div className="jp-CondaBuild-links">
        <Link onClick={() => void model.retry(build)}>{trans.__('Rebuild')}</Link>
        <Link onClick={() => void rebase()}>{trans.__('New base…')}</Link>
        {before && <Link onClick={() => void model.compare(before, build)}>{trans.__('Compare')}</Link>}
        <button type="button" className="jp-CondaBuild-link" aria-expanded={log} onClick={() => setLog(!log)}>
          {trans.__('Log')}
        </button>
        <Link onClick={() => model.hide(build.id)} title={trans.__('The image stays where it is')}>
          {trans.__('Remove from list')}
        </Link>
      </div>
      {log && <Log lines={progress.lines} missed={progress.missed} name={buildName(build)} />}
    </>
  );
}
