/** The changes between two images. */

import React from 'react';

import type { Change } from '../api/contract';
import { versions } from '../model/changes';
import type { Comparison } from '../model/state';
import { useSurroundings } from './context';
import { Link, Notice, Row, Section } from './parts';
import { buildName } from './words';

const SHOWN = 100;

export function Changes(props: { comparison: Comparison }): JSX.Element {
  const { trans } = useSurroundings();
  const { before: image, changes, fault } = props.comparison;
  const value = (change: Change): string => {
    const [before, after] = versions(change);
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
    <Section title={trans.__('Changed since %1', buildName(image))}>
      {fault && <Notice kind="warning" fault={fault} />}
      {!fault && !changes && <p className="jp-CondaBuild-quiet">{trans.__('Comparing…')}</p>}
      {changes?.length === 0 && <p className="jp-CondaBuild-quiet">{trans.__('The packages are the same.')}</p>}
      {changes?.slice(0, SHOWN).map(change => (
        <Row key={`${change.manager} ${change.name}`} name={change.name} value={value(change)} />
      ))}
      {changes && changes.length > SHOWN && (
        <p className="jp-CondaBuild-quiet">{trans.__('and %1 more', changes.length - SHOWN)}</p>
      )}
    </Section>
  );
}

/** The comparison of a build with an earlier one. */
export function ComparisonView(props: { comparison: Comparison }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { before, after } = props.comparison;
  return (
    <>
      <Link onClick={() => model.endComparison()}>‹ {trans.__('Back')}</Link>
      <h2 className="jp-CondaBuild-cut">{buildName(after)}</h2>
      <p className="jp-CondaBuild-quiet">{trans.__('compared with %1', buildName(before))}</p>
      <Changes comparison={props.comparison} />
    </>
  );
}
