/** The environments to choose from. */

import { caretDownIcon, checkIcon } from '@jupyterlab/ui-components';
import React, { useEffect, useId, useState } from 'react';

import type { PanelState } from '../model/state';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { IconOpener } from './opener';
import { Link, Notice } from './parts';

/** A button beside the name of the environment; it opens the list. */
export function ChoicesButton(props: { state: PanelState; children: React.ReactNode }): JSX.Element {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
  const label = trans.__('Choose another environment');
  const { subject } = props.state;
  useEffect(() => setOpen(false), [JSON.stringify(subject?.source)]);
  return (
    <>
      <div className="jp-CondaBuild-choicesRow">
        {props.children}
        <IconOpener icon={caretDownIcon} label={label} open={open} setOpen={setOpen} controls={id} />
      </div>
      <div id={id}>{open && <ChoicesList state={props.state} />}</div>
    </>
  );
}

export function ChoicesList(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { attended, choices, choicesFault, chosen, notebook, snapshot } = props.state;
  useEffect(() => {
    if (attended) {
      void model.loadChoices();
    }
  }, [attended, model]);
  if (choicesFault) {
    return (
      <Notice kind="error" fault={choicesFault}>
        <Link onClick={() => void model.loadChoices()}>{trans.__('Try again')}</Link>
      </Notice>
    );
  }
  if (!choices) {
    return (
      <p className="jp-CondaBuild-quiet" role="status">
        {trans.__('Looking for environments…')}
      </p>
    );
  }
  if (!choices.length) {
    return (
      <p className="jp-CondaBuild-quiet">
        {trans.__('No kernel of this server runs in a conda environment. Install ipykernel in one: its kernel is listed here.')}
      </p>
    );
  }
  return (
    <>
      <ul className="jp-CondaBuild-history" aria-label={trans.__('Environments of this server')}>
        {choices.map(choice => {
          const current = choice.prefix === snapshot?.prefix;
          return (
            <li key={choice.prefix} className="jp-CondaBuild-historyRow">
              <button
                type="button"
                className="jp-CondaBuild-entry"
                aria-current={current}
                title={visible(choice.prefix)}
                onClick={() => model.pick(choice)}
              >
                <span className="jp-CondaBuild-cut">{visible(choice.name)}</span>
                <span className="jp-CondaBuild-quiet jp-CondaBuild-cut">
                  {visible(choice.runs ? trans.__('%1 · running', choice.title) : choice.title)}
                </span>
              </button>
              {current && <checkIcon.react tag="span" height="16px" width="16px" />}
            </li>
          );
        })}
      </ul>
      {chosen && notebook && <Link onClick={() => model.pick(null)}>{trans.__('Follow the notebook again')}</Link>}
    </>
  );
}
