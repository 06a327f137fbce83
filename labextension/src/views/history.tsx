/** The history of builds. */

import { ellipsesIcon } from '@jupyterlab/ui-components';
import React, { useState } from 'react';

import type { Build } from '../api/contract';
import { isOver, type PanelState } from '../model/state';
import { secondsText, sizeText } from '../model/units';
import { Actions } from './actions';
import { useSurroundings } from './context';
import { Link, Section } from './parts';
import { agoText, buildName, faultText, isVerified, proofText, stateWord } from './words';

const FIRST = 5;

export function History(props: { state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const [all, setAll] = useState(false);
  const { builds } = props.state;
  if (!builds.length) {
    return null;
  }
  return (
    <Section title={trans.__('Recent')}>
      <ul className="jp-CondaBuild-history">
        {builds.slice(0, all ? undefined : FIRST).map(build => (
          <Entry key={build.id} build={build} state={props.state} />
        ))}
      </ul>
      {builds.length > FIRST && (
        <Link onClick={() => setAll(!all)}>
          {all ? trans.__('Show fewer') : trans.__('Show all %1', builds.length)}
        </Link>
      )}
    </Section>
  );
}

function Entry(props: { build: Build; state: PanelState }): JSX.Element {
  const { language, model, trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const { build, state } = props;
  const { result, error } = build;
  const facts = result
    ? [
        build.command === 'verify' && (proofText(trans, result.proof) || (isVerified(build) ? trans.__('verified') : trans.__('not all is proved'))),
        build.command === 'rebase' && trans.__('new base'),
        build.command !== 'verify' && sizeText(result.size),
        secondsText(result.seconds)
      ]
    : [error ? faultText(trans, error) : stateWord(trans, build.state)];
  const actions = trans.__('Actions for %1', buildName(build));
  return (
    <li>
      <div className="jp-CondaBuild-historyRow">
        <i className={`jp-CondaBuild-dot jp-mod-${build.state}`} role="img" aria-label={stateWord(trans, build.state)} />
        <button type="button" className="jp-CondaBuild-entry" onClick={() => model.show(build.id)}>
          <span className="jp-CondaBuild-cut">{buildName(build)}</span>
          <span className="jp-CondaBuild-quiet jp-CondaBuild-cut">
            {[agoText(language, build.created), ...facts].filter(Boolean).join(' · ')}
          </span>
        </button>
        {isOver(build) && (
          <button
            type="button"
            className="jp-CondaBuild-icon"
            aria-expanded={open}
            aria-label={actions}
            title={actions}
            onClick={() => setOpen(!open)}
          >
            <ellipsesIcon.react tag="span" height="16px" width="16px" />
          </button>
        )}
      </div>
      {open && isOver(build) && (
        <div className="jp-CondaBuild-links">
          <Actions build={build} state={state} />
        </div>
      )}
    </li>
  );
}
