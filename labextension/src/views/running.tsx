/** A build that is queued or running. */

import React from 'react';

import type { Build } from '../api/contract';
import type { Connection } from '../api/updates';
import { tiles } from '../model/layerMap';
import { activeBuilds, connectionOf, progressOf, type PanelState } from '../model/state';
import { steps, whole, type Whole } from '../model/steps';
import { partTexts, secondsText, sizeText } from '../model/units';
import { useSurroundings } from './context';
import { LayerMap } from './layerMap';
import { Log } from './log';
import { Bar, Notice, Section } from './parts';
import { buildName, connectionWord, doingText, stepWord } from './words';

/** The shortest remaining time that is displayed, in seconds. */
const SOON = 0.5;

export function Running(props: { build: Build; state: PanelState }): JSX.Element {
  const { confirm, model, trans } = useSurroundings();
  const { build, state } = props;
  const progress = progressOf(state, build.id);
  const connection = connectionOf(state, build.id);
  const done = whole(progress);
  const plan = state.snapshot?.prefix === build.request.prefix ? state.snapshot.plan : null;
  // The docker engine reports no layers, so that a planned one would wait for ever.
  const planned = plan?.engine === 'layers' ? plan.layers : [];
  const map = tiles(planned, progress);
  const verifies = build.command === 'verify';
  const cancelWord = verifies ? trans.__('Cancel verification') : trans.__('Cancel build');
  const cancel = async (): Promise<void> => {
    const sure = await confirm({
      title: verifies ? trans.__('Cancel the verification?') : trans.__('Cancel the build?'),
      text: verifies
        ? trans.__('The image stays as it is.')
        : trans.__('What is built already is kept, so the next build is faster.'),
      yes: cancelWord,
      isVoid: now => !activeBuilds(now).some(({ id, cancelling }) => id === build.id && !cancelling),
      no: verifies ? trans.__('Go on verifying') : trans.__('Go on building')
    });
    if (sure) {
      await model.cancel(build.id);
    }
  };
  return (
    <>
      <p className="jp-CondaBuild-name jp-CondaBuild-cut">{build.request.reference || build.request.archive}</p>
      {build.command === 'build' && <Steps build={build} state={state} />}
      <Bar fraction={done.fraction} label={doingText(trans, build)} />
      <Amounts build={build} whole={done} connection={connection} />
      {connection === 'denied' && (
        <Notice
          kind="warning"
          fault={{
            code: 'denied',
            message: trans.__('The Jupyter server asks for a login.'),
            hint: trans.__('Log in again in another tab. The build goes on, and then this view does too.')
          }}
        />
      )}
      {map.length > 0 && (
        <Section title={trans.__('Layers')}>
          <LayerMap
            tiles={map}
            label={trans.__('Layers')}
            legend={['reused', 'pushed', 'built', 'building', 'waiting']}
          />
        </Section>
      )}
      <Log lines={progress.lines} missed={progress.missed} name={buildName(build)} />
      <button
        type="button"
        className="jp-CondaBuild-cancel jp-mod-styled"
        // A disabled button would lose the focus.
        aria-disabled={build.cancelling}
        onClick={() => !build.cancelling && void cancel()}
      >
        {build.cancelling ? trans.__('Cancelling…') : cancelWord}
      </button>
    </>
  );
}

function Steps(props: { build: Build; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const all = steps(progressOf(props.state, props.build.id), props.build.request);
  const now = all.filter(step => step.state === 'running').map(step => stepWord(trans, step.name));
  return (
    <>
      <ol className="jp-CondaBuild-steps">
        {all.map(step => (
          <li
            key={step.name}
            className={`jp-mod-${step.state}`}
            aria-current={step.state === 'running' ? 'step' : undefined}
            title={step.seconds === null ? undefined : secondsText(step.seconds)}
          >
            {step.state === 'done' && '✓ '}
            {stepWord(trans, step.name)}
          </li>
        ))}
      </ol>
      <span role="status" className="jp-CondaBuild-unseen">
        {now.join(', ')}
      </span>
    </>
  );
}

function Amounts(props: { build: Build; whole: Whole; connection: Connection }): JSX.Element {
  const { trans } = useSurroundings();
  const { build, connection, whole: done } = props;
  const [part, total] = partTexts(done.complete, done.total);
  const left =
    connection === 'open'
      ? build.state === 'queued'
        ? trans.__('Waiting: number %1 in the queue', build.position ?? 1)
        : done.secondsLeft !== null && done.secondsLeft >= SOON
          ? trans.__('about %1 left', secondsText(done.secondsLeft))
          : ''
      : connectionWord(trans, connection);
  return (
    <div className="jp-CondaBuild-row jp-CondaBuild-quiet">
      <span>
        {done.total > 0 && trans.__('%1 of %2', part, total)}
        {connection === 'open' && done.rate > 0 && ` · ${trans.__('%1/s', sizeText(done.rate))}`}
      </span>
      <span>{left}</span>
    </div>
  );
}
