/** The log of a build, with a search, and buttons to follow, copy and save it. */

import { searchIcon } from '@jupyterlab/ui-components';
import React, { useEffect, useMemo, useReducer, useState } from 'react';

import type { Lines } from '../model/lines';
import { plain } from '../model/report';
import { Search } from '../model/search';
import { clockText } from '../model/units';
import { useSurroundings } from './context';
import { Rows } from './rows';
import { WrappedRows } from './wrappedRows';

/** The time for the search in each frame, in milliseconds. */
const SEARCHING = 8;

export function Log(props: { lines: Lines; missed: number; name: string }): JSX.Element {
  const { copy, download, trans } = useSurroundings();
  const [wanted, setWanted] = useState('');
  const [following, setFollowing] = useState(true);
  const [wrapping, setWrapping] = useState(false);
  const found = useSearch(props.lines, wanted);
  const text = (): string =>
    props.lines
      .slice()
      .map(line => `${clockText(line.time)} ${line.label && `${line.label} `}${plain(line.text)}\n`)
      .join('');
  return (
    <div className="jp-CondaBuild-log">
      <div className="jp-CondaBuild-logTools">
        <label>
          <searchIcon.react tag="span" height="14px" width="14px" />
          <input
            type="search"
            placeholder={trans.__('Search')}
            aria-label={trans.__('Search the log')}
            value={wanted}
            onChange={event => setWanted(event.target.value)}
          />
        </label>
        {wanted && <span role="status">{trans._n('%1 line', '%1 lines', found.length)}</span>}
        <button type="button" aria-pressed={following} onClick={() => setFollowing(!following)}>
          {trans.__('Follow')}
          {following && ' ✓'}
        </button>
        <button type="button" aria-pressed={wrapping} onClick={() => setWrapping(!wrapping)}>
          {trans.__('Wrap')}
          {wrapping && ' ✓'}
        </button>
        <button type="button" onClick={() => copy(text())}>
          {trans.__('Copy')}
        </button>
        <button type="button" onClick={() => download(`${props.name}.log`, text())}>
          {trans.__('Save')}
        </button>
      </div>
      {props.missed > 0 && (
        <div className="jp-CondaBuild-quiet">{trans._n('%1 event was lost', '%1 events were lost', props.missed)}</div>
      )}
      {wrapping ? <WrappedRows lines={found} following={following} /> : <Rows lines={found} following={following} follow={setFollowing} />}
    </div>
  );
}

/** The lines that contain the words, or all lines if there are no words. The search in a long log takes several frames. */
function useSearch(lines: Lines, words: string): Lines {
  const search = useMemo(() => (words ? new Search(words) : null), [words]);
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    let frame = 0;
    const look = (): void => {
      if (search) {
        frame = search.advance(lines, SEARCHING) ? 0 : requestAnimationFrame(look);
        redraw();
      }
    };
    look();
    return () => cancelAnimationFrame(frame);
  }, [lines, search]);
  return search ? search.found : lines;
}
