/** Builds of before. */

import React, { useState } from 'react';

import type { Build } from '../api/contract';
import { imageBefore, isOver, type PanelState } from '../model/state';
import { secondsText, sizeText } from '../model/units';
import { useSurroundings } from './context';
import { Link, Section } from './parts';
import { agoText, buildName, stateWord } from './words';

const FIRST = 5;

export function History(props: { state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const [all, setAll] = useState(false);
  const builds = props.state.builds.filter(build => !props.state.hidden.includes(build.id));
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
  const { build, state } = props;
  const { result, error } = build;
  const before = imageBefore(state.builds, build.request.prefix, build.created);
  const facts = result
    ? [sizeText(result.size), secondsText(result.seconds)]
    : [error?.message ?? (isOver(build) ? '' : stateWord(trans, build.state))];
  return (
    <li>
      <i className={`jp-CondaBuild-dot jp-mod-${build.state}`} role="img" aria-label={stateWord(trans, build.state)} />
      <button type="button" className="jp-CondaBuild-entry" onClick={() => model.show(build.id)}>
        <span className="jp-CondaBuild-cut">{buildName(build)}</span>
        <span className="jp-CondaBuild-quiet jp-CondaBuild-cut">
          {[agoText(language, build.created), ...facts].filter(Boolean).join(' · ')}
        </span>
      </button>
      {result && before && (
        <Link onClick={() => void model.compare(before, build)} title={trans.__('Compare with the image before')}>
          {trans.__('Compare')}
        </Link>
      )}
      {isOver(build) && !result && <Link onClick={() => void model.retry(build)}>{trans.__('Retry')}</Link>}
    </li>
  );
}
