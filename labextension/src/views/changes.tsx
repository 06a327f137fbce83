/** The changes between two images. */

import React from 'react';

import type { Build, Change, Fault } from '../api/contract';
import { versions } from '../model/changes';
import { shortNames, wholeName } from '../model/names';
import { images, type Comparison } from '../model/state';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Link, Notice, Row, Section } from './parts';
import { agoText, buildName } from './words';

const SHOWN = 100;

export function Changes(props: { comparison: Comparison }): JSX.Element {
  const { trans } = useSurroundings();
  const { before: image, changes, fault, filesCompared, unlisted } = props.comparison;
  return (
    <Section title={trans.__('Changed since %1', buildName(image))}>
      <ChangeRows changes={changes} fault={fault} filesCompared={filesCompared} unlisted={unlisted} />
    </Section>
  );
}

/** The changes, that they are looked for, or why they are not known. */
export function ChangeRows(props: { changes: Change[] | null; fault: Fault | null; filesCompared?: boolean; unlisted?: number }): JSX.Element {
  const { trans } = useSurroundings();
  const { changes, fault, filesCompared, unlisted = 0 } = props;
  const value = (change: Change): string => {
    const [before, after] = versions(change);
    if (change.manager === 'file' && change.kind === 'changed' && before === after) {
      return trans.__('%1, other content', after);
    }
    switch (change.kind) {
      case 'added':
        return trans.__('added %1', after);
      case 'removed':
        return trans.__('removed (%1)', before);
      case 'rebuilt':
        return trans.__('%1, another archive', after);
      default:
        return `${before} → ${after}`;
    }
  };
  return (
    <>
      {fault && <Notice kind="warning" fault={fault} />}
      {!fault && !changes && <p className="jp-CondaBuild-quiet">{trans.__('Comparing…')}</p>}
      {changes?.length === 0 && filesCompared && (
        <p className="jp-CondaBuild-quiet">{trans.__('The packages and all other files are the same.')}</p>
      )}
      {changes?.length === 0 && !filesCompared && (
        <p className="jp-CondaBuild-quiet">{trans.__('The packages are the same.')}</p>
      )}
      {changes?.slice(0, SHOWN).map(change => (
        <Row key={`${change.manager} ${change.name}`} name={change.name} value={value(change)} />
      ))}
      {changes && changes.length + unlisted > SHOWN && (
        <p className="jp-CondaBuild-quiet">{trans.__('and %1 more', changes.length + unlisted - SHOWN)}</p>
      )}
      {changes && !filesCompared && (
        <p className="jp-CondaBuild-quiet">{trans.__('Files that belong to no package were not compared.')}</p>
      )}
    </>
  );
}

/** The comparison of a build with an earlier one. */
export function ComparisonView(props: { builds: readonly Build[]; comparison: Comparison }): JSX.Element {
  const { language, model, trans } = useSurroundings();
  const { before, after } = props.comparison;
  const others = images(props.builds).filter(build => build.id !== after.id);
  const short = shortNames([...others, after].map(wholeName));
  const nameOf = (build: Build): string => visible(short(wholeName(build)));
  return (
    <>
      <Link onClick={() => model.endComparison()}>‹ {trans.__('Back')}</Link>
      <h2 className="jp-CondaBuild-title jp-CondaBuild-cut" title={visible(wholeName(after))} tabIndex={-1}>{nameOf(after)}</h2>
      <label className="jp-CondaBuild-field">
        {trans.__('Compared with')}
        <select
          value={before.id}
          onChange={event => {
            const chosen = others.find(build => build.id === event.target.value);
            if (chosen) {
              void model.compare(chosen, after);
            }
          }}
        >
          {others.map(build => (
            <option key={build.id} value={build.id}>
              {`${nameOf(build)} · ${agoText(language, build.created)}`}
            </option>
          ))}
        </select>
      </label>
      <Changes comparison={props.comparison} />
    </>
  );
}
