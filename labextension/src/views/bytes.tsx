/** The sizes of an image's packages, and advice to make it smaller. */

import React, { useId, useState } from 'react';

import type { Build } from '../api/contract';
import { sizeTiles } from '../model/layerMap';
import { heaviest, type Heavy } from '../model/smaller';
import { progressOf, type PanelState } from '../model/state';
import { sizeText } from '../model/units';
import { useSurroundings } from './context';
import { LayerMap } from './layerMap';
import { Opener } from './opener';
import { Section } from './parts';

export function Bytes(props: { build: Build; state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
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
      <p className="jp-CondaBuild-quiet">
        {trans.__('%1: %2 % of what is above the base image.', names, Math.round(share * 100))}{' '}
        <Opener open={open} setOpen={setOpen} controls={id}>
          {trans.__('How to make it smaller')}
        </Opener>
      </p>
      <div id={id}>{open && <Smaller heavy={heaviest(layers)} rest={props.build.result ? props.build.result.size - total : 0} />}</div>
    </Section>
  );
}

function Smaller(props: { heavy: Heavy[]; rest: number }): JSX.Element {
  const { trans } = useSurroundings();
  const words = ({ advice }: Heavy): string => {
    switch (advice?.kind) {
      case 'lighter':
        return trans.__('%1 has less in it and is often enough.', advice.instead);
      case 'cpu':
        return trans.__('For graphics cards. Where there are none, its cpu build is much smaller.');
      case 'compiler':
        return trans.__('A compiler: what only runs needs none.');
      case 'notebook':
        return trans.__('Needed only where notebooks are opened in the container.');
      case 'files':
        return trans.__('Leave out the files that the container does not need: the list of them is beside the warnings.');
      case 'needed':
        return trans.__('The other packages need it.');
      default:
        return trans.__('Remove it if nothing imports it.');
    }
  };
  return (
    <>
      <ul className="jp-CondaBuild-advice">
        {props.heavy.map(each => (
          <li key={each.name}>
            <strong>{each.name}</strong> {sizeText(each.size)}
            <br />
            {words(each)}
          </li>
        ))}
      </ul>
      <p className="jp-CondaBuild-quiet">
        {props.rest > 0 && trans.__('The base image: %1.', sizeText(props.rest))}{' '}
        {trans.__('After a change, build again: only what changed is sent.')}
      </p>
    </>
  );
}
