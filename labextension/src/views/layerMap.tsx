/** The map of layers, with the legend of its colours. */

import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useMemo, useState } from 'react';

import { counts, treemap, type Rect, type Tile, type TileState } from '../model/layerMap';
import { sizeText } from '../model/units';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Opener } from './opener';

/** The proportions of the map's box, which is stretched to the panel's width. */
const WIDTH = 328;
const HEIGHT = 118;
/** The approximate width of a letter, in the same units. */
const LETTER = 7;

export function LayerMap(props: { tiles: Tile[]; label: string; legend: TileState[] }): JSX.Element {
  const { trans } = useSurroundings();
  const sizes = props.tiles.map(tile => tile.size).join();
  const rects = useMemo(
    () =>
      treemap(
        props.tiles.map(tile => tile.size),
        WIDTH,
        HEIGHT
      ),
    [sizes]
  );
  const number = counts(props.tiles);
  const words: Record<TileState, string> = {
    waiting: trans.__('%1 to build or send', number.waiting.layers),
    reused: trans.__('%1 reused', number.reused.layers),
    building: trans.__('%1 building', number.building.layers),
    built: trans.__('%1 built', number.built.layers),
    pushed: trans.__('%1 pushed', number.pushed.layers),
    heavy: trans.__('%1 largest', number.heavy.layers)
  };
  const legend = props.legend.filter(state => number[state].layers > 0);
  const [open, setOpen] = useState(false);
  const id = useId();
  return (
    <>
      <div
        className="jp-CondaBuild-map"
        role="img"
        aria-label={`${props.label}: ${legend.map(state => words[state]).join(', ')}`}
      >
        {props.tiles.map((tile, index) => {
          const rect = rects[index];
          return (
            rect && (
              <div
                key={tile.key}
                className={`jp-CondaBuild-tile jp-mod-${tile.state}`}
                style={{
                  left: `${(rect.x / WIDTH) * 100}%`,
                  top: `${(rect.y / HEIGHT) * 100}%`,
                  width: `${(rect.width / WIDTH) * 100}%`,
                  height: `${(rect.height / HEIGHT) * 100}%`
                }}
                title={[...tile.packages.map(visible), sizeText(tile.size), ...(legend.length ? [tileWord(trans, tile.state)] : [])].join('\n')}
              >
                {fits(tile.name, rect) && <span>{visible(tile.name)}</span>}
              </div>
            )
          );
        })}
      </div>
      <div className="jp-CondaBuild-belowMap">
        <Legend items={legend.map(state => [state, words[state]])} />
        <Opener open={open} setOpen={setOpen} controls={id}>
          {open ? trans.__('Hide the table') : trans.__('Show as a table')}
        </Opener>
      </div>
      <div id={id} hidden={!open}>
        {open && <LayerTable tiles={props.tiles} label={props.label} states={legend.length > 0} />}
      </div>
    </>
  );
}

/** The content of the map in words. */
function LayerTable(props: { tiles: Tile[]; label: string; states: boolean }): JSX.Element {
  const { trans } = useSurroundings();
  return (
    <div className="jp-CondaBuild-table" tabIndex={0} role="region" aria-label={props.label}>
      <table aria-label={props.label}>
        <thead>
          <tr>
            <th scope="col">{trans.__('Packages')}</th>
            <th scope="col">{trans.__('Size')}</th>
            {props.states && <th scope="col">{trans.__('State')}</th>}
          </tr>
        </thead>
        <tbody>
          {props.tiles.map(tile => (
            <tr key={tile.key}>
              <td>{visible(tile.packages.join(', '))}</td>
              <td>{sizeText(tile.size)}</td>
              {props.states && <td>{tileWord(trans, tile.state)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function tileWord(trans: TranslationBundle, state: TileState): string {
  switch (state) {
    case 'waiting':
      return trans.__('to build');
    case 'reused':
      return trans.__('reused');
    case 'building':
      return trans.__('building');
    case 'built':
      return trans.__('built');
    case 'pushed':
      return trans.__('pushed');
    case 'heavy':
      return trans.__('among the largest');
  }
}

/** Whether a name fits into its tile. A part of a name would not be useful. */
function fits(name: string, rect: Rect): boolean {
  return rect.height > 16 && rect.width > Math.min(name.length * LETTER + 10, 70);
}

export function Legend(props: { items: [TileState, string][] }): JSX.Element | null {
  return props.items.length ? (
    <div className="jp-CondaBuild-legend">
      {props.items.map(([state, text]) => (
        <span key={state}>
          <i className={`jp-CondaBuild-key jp-mod-${state}`} />
          {text}
        </span>
      ))}
    </div>
  ) : null;
}
