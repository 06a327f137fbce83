/** The panel: a column that displays the environment, a build, or a comparison of two builds. */

import { folderIcon, refreshIcon, type LabIcon } from '@jupyterlab/ui-components';
import React, { useEffect, useState } from 'react';

import type { PanelModel } from '../model/panel';
import { activeBuilds, isOver, progressOf, shownBuild, type PanelState } from '../model/state';
import { whole } from '../model/steps';
import { ComparisonView } from './changes';
import { SurroundingsProvider, useSurroundings, type Surroundings } from './context';
import { Destination } from './destination';
import { BuildHeading, ChosenHeading, Contents, NoEnvironment } from './environment';
import { Failed } from './failed';
import { Finished } from './finished';
import { useKeptFocus } from './focus';
import { History } from './history';
import { ImageView } from './image';
import { Licenses } from './licenses';
import { NewsList } from './news';
import { Link, Notice } from './parts';
import { OtherWays, Plan } from './plan';
import { Substitutions } from './platform';
import { Running } from './running';
import { Start } from './start';
import { TrialLink } from './trial';
import { Verified } from './verified';
import { Warnings } from './warnings';
import { buildName, doingText, stateWord } from './words';

export function Panel(props: Surroundings): JSX.Element {
  const { model, trans } = props;
  const state = useModelState(model);
  const build = shownBuild(state);
  const views = useKeptFocus([build?.id, build?.state, state.comparison?.after.id, state.opened?.image?.digest, state.opened !== null, state.snapshot?.prefix].join());
  return (
    <SurroundingsProvider value={props}>
      <div className="jp-CondaBuild-header">
        <h1>{trans.__('Containerize environment')}</h1>
        <span>
          <HeaderButton icon={folderIcon} label={trans.__('Open an image…')} onClick={() => model.openImage()} />
          <HeaderButton icon={refreshIcon} label={trans.__('Read the environment again')} onClick={() => void model.refresh()} />
        </span>
      </div>
      <p role="status" className="jp-CondaBuild-unseen">
        {build && isOver(build) && trans.__('%1: %2', stateWord(trans, build.state), buildName(build))}
      </p>
      <div ref={views} className="jp-CondaBuild-views">
        <NewsList state={state} />
        <div className="jp-CondaBuild-body">
          <Body state={state} />
        </div>
        <Start state={state} />
      </div>
    </SurroundingsProvider>
  );
}

function HeaderButton(props: { icon: LabIcon; label: string; onClick: () => void }): JSX.Element {
  return (
    <button type="button" className="jp-CondaBuild-icon" title={props.label} aria-label={props.label} onClick={props.onClick}>
      <props.icon.react tag="span" height="16px" width="16px" />
    </button>
  );
}

function Body({ state }: { state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const build = shownBuild(state);
  if (state.absent) {
    const hint = trans.__(
      'Install jupyter-condabuild in the environment that runs the Jupyter server (pip install jupyter-condabuild), enable it (jupyter server extension enable jupyter_condabuild) and restart the server.'
    );
    const isMissing = state.absent.code === 'no_server_part';
    const fault = isMissing
      ? { ...state.absent, message: trans.__('The server part is missing or disabled.'), hint }
      : state.absent;
    return <Notice kind="error" fault={fault} />;
  }
  if (state.opened) {
    return <ImageView opened={state.opened} state={state} />;
  }
  if (state.comparison) {
    return <ComparisonView builds={state.builds} comparison={state.comparison} />;
  }
  if (build) {
    return (
      <>
        <BackLink />
        <BuildHeading build={build} state={state} />
        {!isOver(build) ? (
          <Running key={build.id} build={build} state={state} />
        ) : build.result && build.command === 'verify' ? (
          <Verified key={build.id} build={build} result={build.result} state={state} />
        ) : build.result ? (
          <Finished key={build.id} build={build} result={build.result} state={state} />
        ) : (
          <Failed key={build.id} build={build} state={state} />
        )}
      </>
    );
  }
  return <EnvironmentAndHistory state={state} />;
}

function EnvironmentAndHistory({ state }: { state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  return (
    <>
      <ActiveBuilds state={state} />
      {state.forgotten && (
        <Notice
          kind="info"
          fault={{
            code: 'forgotten',
            message: trans.__('%1 is no longer in the history.', buildName(state.forgotten)),
            hint: trans.__('It had ended, and another window or the limit of the history removed it. Its image stays where it is.')
          }}
        />
      )}
      <TrialLink state={state} />
      <ChosenHeading state={state} />
      {state.snapshot ? (
        <>
          <Contents snapshot={state.snapshot} state={state} />
          <Substitutions state={state} snapshot={state.snapshot} />
          <Licenses licenses={state.licenses} />
          <Warnings snapshot={state.snapshot} state={state} />
          <Destination state={state} />
          <Plan state={state} />
          <OtherWays state={state} />
        </>
      ) : (
        <NoEnvironment state={state} />
      )}
      <History state={state} />
    </>
  );
}

/** Every build that is running or waiting, with its progress or its place in the queue. */
function ActiveBuilds({ state }: { state: PanelState }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const builds = activeBuilds(state);
  if (!builds.length) {
    return null;
  }
  return (
    <ul className="jp-CondaBuild-notice jp-mod-info jp-CondaBuild-active" aria-label={trans.__('Builds')}>
      {builds.map(build => {
        const { fraction } = whole(progressOf(state, build.id));
        const place = build.position === null ? '' : trans.__('number %1', build.position);
        return (
          <li key={build.id} className="jp-CondaBuild-row">
            <Link onClick={() => model.show(build.id)}>{doingText(trans, build)} ›</Link>
            <span className="jp-CondaBuild-quiet">{fraction === null ? place : `${Math.round(fraction * 100)} %`}</span>
          </li>
        );
      })}
    </ul>
  );
}

function BackLink(): JSX.Element {
  const { model, trans } = useSurroundings();
  return (
    <div>
      <Link onClick={() => model.show(null)}>‹ {trans.__('Environment and history')}</Link>
    </div>
  );
}

/**
 * The model's state. It is drawn at most once in a frame, for any rate of events. A change of the form is drawn at once:
 * otherwise React would reset the input to its last drawn text, and the caret would jump.
 */
function useModelState(model: PanelModel): PanelState {
  const [state, setState] = useState(model.state);
  useEffect(() => {
    let frame = 0;
    let { form } = model.state;
    const draw = (): void => {
      cancelAnimationFrame(frame);
      frame = 0;
      form = model.state.form;
      setState(model.state);
    };
    const changed = (): void => {
      if (model.state.form !== form) {
        draw();
      } else {
        frame ||= requestAnimationFrame(draw);
      }
    };
    model.changed.connect(changed);
    changed();
    return () => {
      model.changed.disconnect(changed);
      cancelAnimationFrame(frame);
    };
  }, [model]);
  return state;
}
