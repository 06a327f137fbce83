/** The history of builds. */

import { ellipsesIcon } from '@jupyterlab/ui-components';
import React, { useId, useState } from 'react';

import type { Build } from '../api/contract';
import { historyGroups, type HistoryFilter, type HistoryGroup } from '../model/history';
import { shortNames, wholeName } from '../model/names';
import { isOver, type PanelState } from '../model/state';
import { secondsText, sizeText } from '../model/units';
import { visible } from '../model/visible';
import { Actions } from './actions';
import { useSurroundings } from './context';
import { IconOpener, Opener } from './opener';
import { Link, Section } from './parts';
import { agoText, faultText, isVerified, proofText, stateWord, timeText } from './words';

/** The number of names that are displayed at first. With more names, there is a search. */
const FIRST = 5;

export function History(props: { state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const [all, setAll] = useState(false);
  const [words, setWords] = useState('');
  const [filter, setFilter] = useState<HistoryFilter>('all');
  const { builds, unlisted } = props.state;
  if (!builds.length) {
    return null;
  }
  const filters: [HistoryFilter, string][] = [
    ['all', trans.__('All')],
    ['finished', trans.__('Ready')],
    ['failed', trans.__('Failed or cancelled')],
    ['active', trans.__('Building or waiting')]
  ];
  const groups = historyGroups(builds, words, filter);
  const short = shortNames(builds.map(wholeName));
  const searches = words !== '' || filter !== 'all';
  return (
    <Section title={trans.__('Recent')}>
      {builds.length > FIRST && (
        <div className="jp-CondaBuild-historyTools" role="search">
          <input
            type="search"
            placeholder={trans.__('Search')}
            aria-label={trans.__('Search the history')}
            value={words}
            onChange={event => setWords(event.target.value)}
          />
          <select
            aria-label={trans.__('Show only')}
            value={filter}
            onChange={event => setFilter(event.target.value as HistoryFilter)}
          >
            {filters.map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </div>
      )}
      <ul className="jp-CondaBuild-history">
        {groups.slice(0, all || searches ? undefined : FIRST).map(group => (
          <Group key={group.name} group={group} name={short(group.name)} state={props.state} />
        ))}
      </ul>
      {!groups.length && (
        <p className="jp-CondaBuild-quiet" role="status">
          {trans.__('No build fits.')}
        </p>
      )}
      {unlisted > 0 && (all || searches) && (
        <p className="jp-CondaBuild-quiet">{trans.__('The newest %1 of %2 builds are listed.', builds.length, builds.length + unlisted)}</p>
      )}
      {groups.length > FIRST && !searches && (
        <Link onClick={() => setAll(!all)}>
          {all ? trans.__('Show fewer') : trans.__('Show all %1', groups.length)}
        </Link>
      )}
    </Section>
  );
}

/** The newest build of a name, and the earlier ones on request. */
function Group(props: { group: HistoryGroup; name: string; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
  const { group, name, state } = props;
  const [newest, ...others] = group.builds;
  const checks = others.filter(({ command }) => command === 'verify').length;
  const earlier = others.length - checks;
  const counts = [
    earlier > 0 && trans._n('%1 earlier build of this name', '%1 earlier builds of this name', earlier),
    checks > 0 && trans._n('%1 verification', '%1 verifications', checks)
  ].filter(Boolean);
  return (
    <li>
      <Entry build={newest} name={name} state={state} />
      {others.length > 0 && (
        <>
          <Opener open={open} setOpen={setOpen} className="jp-CondaBuild-earlier" controls={id}>
            {counts.join(' · ')} {open ? '▴' : '▾'}
          </Opener>
          <ul id={id} className="jp-CondaBuild-earlierBuilds" hidden={!open}>
            {open &&
              others.map(build => (
                <li key={build.id}>
                  <Entry build={build} name={name} state={state} />
                </li>
              ))}
          </ul>
        </>
      )}
    </li>
  );
}

function Entry(props: { build: Build; name: string; state: PanelState }): JSX.Element {
  const { language, model, trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const { build, state } = props;
  const name = visible(props.name);
  const { result, error } = build;
  const facts = result
    ? [
        build.command === 'verify' && (proofText(trans, result.proof) || (isVerified(build) ? trans.__('verified') : trans.__('not all is proved'))),
        build.command === 'rebase' && trans.__('new base'),
        build.command !== 'verify' && sizeText(result.size),
        secondsText(result.seconds)
      ]
    : [error ? faultText(trans, error) : stateWord(trans, build.state)];
  const actions = trans.__('Actions for %1', name);
  return (
    <>
      <div className="jp-CondaBuild-historyRow">
        <i className={`jp-CondaBuild-dot jp-mod-${build.state}`} role="img" aria-label={stateWord(trans, build.state)} />
        <button type="button" className="jp-CondaBuild-entry" title={`${visible(wholeName(build))}\n${timeText(language, build.created)}`} onClick={() => model.show(build.id)}>
          <span className="jp-CondaBuild-cut">{name}</span>
          <span className="jp-CondaBuild-quiet jp-CondaBuild-cut">
            {[agoText(language, build.created), ...facts].filter(Boolean).join(' · ')}
          </span>
        </button>
        {isOver(build) && (
          <IconOpener icon={ellipsesIcon} label={actions} open={open} setOpen={setOpen} />
        )}
      </div>
      {open && isOver(build) && (
        <div className="jp-CondaBuild-links">
          <Actions build={build} state={state} />
        </div>
      )}
    </>
  );
}
