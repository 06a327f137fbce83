/** The map of layers, with the legend of its colours. */

import React, { useMemo } from 'react';

import { counts, treemap, type Rect, type Tile, type TileState } from '../model/layerMap';
import { sizeText } from '../model/units';
import { useSurroundings } from './context';

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
                title={`${tile.packages.join('\n')}\n${sizeText(tile.size)}`}
              >
                {fits(tile.name, rect) && <span>{tile.name}</span>}
              </div>
            )
          );
        })}
      </div>
      <Legend items={legend.map(state => [state, words[state]])} />
    </>
  );
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
