/** The warnings in groups, one line each, with what a person can choose for each; and the choices that were made. */

import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import React, { useId, useState } from 'react';

import type { Snapshot, Warning } from '../api/contract';
import { decisions, takes, type Decision } from '../model/selection';
import type { PanelState } from '../model/state';
import { sizeText } from '../model/units';
import { grouped, leaveAll, type Entry, type EntryGroup, type Item } from '../model/warnings';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Opener } from './opener';
import { Link, Section } from './parts';
import { entryTitle, faultTexts, groupWord } from './words';

/** The number of items that are displayed before a person asks for more. */
const FIRST = 10;

/** The warnings of a snapshot, with their choices. */
export function Warnings(props: { snapshot: Snapshot; state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const groups = grouped(props.snapshot.warnings, props.snapshot);
  const choices = decisions(props.state.form.selection);
  if (!groups.length && !choices.length) {
    return null;
  }
  return (
    <Section title={trans.__('What to know')}>
      <Groups groups={groups} state={props.state} />
      {choices.length > 0 && <Chosen choices={choices} />}
    </Section>
  );
}

/** The warnings of an ended build, in one line until a person asks for them. */
export function EarlierWarnings(props: { warnings: readonly Warning[] }): JSX.Element | null {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const groups = grouped(props.warnings, null);
  const count = groups.reduce((sum, { entries }) => sum + entries.length, 0);
  if (!count) {
    return null;
  }
  return (
    <div>
      <Opener open={open} setOpen={setOpen}>
        {trans._n('%1 thing to know about this image', '%1 things to know about this image', count)} {open ? '▴' : '▾'}
      </Opener>
      {open && <Groups groups={groups} state={null} />}
    </div>
  );
}

function Groups(props: { groups: EntryGroup[]; state: PanelState | null }): JSX.Element {
  const { trans } = useSurroundings();
  return (
    <>
      {props.groups.map(({ entries, group }) => (
        <div key={group} className={`jp-CondaBuild-warnings jp-mod-${group}`}>
          <h3>{groupWord(trans, group)}</h3>
          <ul>
            {entries.map(entry => (
              <Line key={entry.code} entry={entry} group={group} state={props.state} />
            ))}
          </ul>
        </div>
      ))}
    </>
  );
}

/** One line for a warning. A click shows its details. */
function Line(props: { entry: Entry; group: string; state: PanelState | null }): JSX.Element {
  const { model, trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
  const { entry, group, state } = props;
  const everything = state ? leaveAll(entry) : [];
  // What is lost is not in the image in any case.
  const leave = group === 'lost' ? trans.__('Not needed') : trans.__('Leave it out');
  const title = entryTitle(trans, entry);
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <li>
      <div className="jp-CondaBuild-row jp-CondaBuild-warningRow">
        <button
          type="button"
          className="jp-CondaBuild-warning"
          aria-expanded={open}
          aria-controls={id}
          onClick={() => setOpen(!open)}
        >
          <Caret.react tag="span" height="14px" width="14px" />
          <span>{title}</span>
        </button>
        <span className="jp-CondaBuild-choice">
          {everything.length > 0 && (
            <Link onClick={() => model.deciding.add(everything)} label={trans.__('%1: %2', leave, title)}>
              {leave}
            </Link>
          )}
          {entry.code === 'variables' && state && <Variables state={state} />}
          {entry.why && (
            <a
              className="jp-CondaBuild-link"
              href={model.whyUrl(entry.why)}
              target="_blank"
              rel="noopener noreferrer"
              aria-label={trans.__('Why? %1', title)}
            >
              {trans.__('Why?')}
            </a>
          )}
        </span>
      </div>
      <div id={id}>{open && <Details entry={entry} state={state} />}</div>
    </li>
  );
}

function Variables(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { variables } = props.state.form;
  return (
    <Link onClick={() => model.edit({ variables: !variables })}>
      {variables ? trans.__('Leave them out') : trans.__('Put them into the image')}
    </Link>
  );
}

function Details(props: { entry: Entry; state: PanelState | null }): JSX.Element {
  const { trans } = useSurroundings();
  const [most, setMost] = useState(FIRST);
  const { entry, state } = props;
  const texts = entry.warnings.map(warning => faultTexts(trans, warning));
  const hints = [...new Set(texts.map(({ hint }) => hint).filter(Boolean))];
  const hasItems = state !== null && entry.items.length > 0;
  return (
    <div className="jp-CondaBuild-details">
      {!hasItems && texts.map(({ details, title }, index) => <p key={index}>{details || title}</p>)}
      {hints.map(hint => (
        <p key={hint} className="jp-CondaBuild-quiet">
          {hint}
        </p>
      ))}
      {hasItems && (
        <ul aria-label={trans.__('Files and folders')}>
          {entry.items.slice(0, most).map(item => (
            <ItemLine key={`${item.name} ${item.files ?? ''}`} item={item} />
          ))}
        </ul>
      )}
      {hasItems && entry.items.length > most && (
        <Link onClick={() => setMost(most * 10)}>{trans.__('Show more')}</Link>
      )}
      {hasItems && entry.hasPatterns && <Pattern />}
    </div>
  );
}

function ItemLine(props: { item: Item }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { files, leave, size, take } = props.item;
  const name = visible(props.item.name);
  const facts = [files !== undefined && trans._n('%1 file', '%1 files', files), size !== null && sizeText(size)];
  return (
    <li className="jp-CondaBuild-row">
      <span className="jp-CondaBuild-path" title={name}>
        {name} <span className="jp-CondaBuild-quiet">{facts.filter(Boolean).join(' · ')}</span>
      </span>
      <span className="jp-CondaBuild-choice">
        {take && (
          <Link onClick={() => model.deciding.add([take])} label={trans.__('Take it: %1', name)}>
            {trans.__('Take it')}
          </Link>
        )}
        {leave && (
          <Link onClick={() => model.deciding.add([leave])} label={trans.__('Leave it out: %1', name)}>
            {trans.__('Leave it out')}
          </Link>
        )}
      </span>
    </li>
  );
}

/** A pattern as in .gitignore, for many files at once. */
function Pattern(): JSX.Element {
  const { model, trans } = useSurroundings();
  const [text, setText] = useState('');
  const leave = (): void => {
    model.deciding.add([{ kind: 'exclude', value: text.trim() }]);
    setText('');
  };
  return (
    <form
      className="jp-CondaBuild-row"
      onSubmit={event => {
        event.preventDefault();
        if (text.trim()) {
          leave();
        }
      }}
    >
      <input
        type="text"
        className="jp-mod-styled"
        placeholder="*.csv"
        aria-label={trans.__('Pattern of files to leave out, as in .gitignore')}
        value={text}
        onChange={event => setText(event.target.value)}
      />
      <button type="submit" className="jp-CondaBuild-link" disabled={!text.trim()}>
        {trans.__('Leave it out')}
      </button>
    </form>
  );
}

function Chosen(props: { choices: Decision[] }): JSX.Element {
  const { model, trans } = useSurroundings();
  return (
    <div className="jp-CondaBuild-warnings jp-mod-chosen">
      <h3>{trans.__('Your choices')}</h3>
      <ul>
        {props.choices.map(choice => {
          const value = visible(choice.value);
          return (
            <li key={`${choice.kind} ${choice.value}`} className="jp-CondaBuild-row">
              <span className="jp-CondaBuild-path" title={value}>
                {choice.kind === 'apt'
                  ? trans.__('Package of Debian: %1', value)
                  : takes(choice)
                    ? trans.__('Taken: %1', value)
                    : trans.__('Left out: %1', value)}
              </span>
              <Link onClick={() => model.deciding.takeBack(choice)} label={trans.__('Undo: %1', value)}>
                {trans.__('Undo')}
              </Link>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
