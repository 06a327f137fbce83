/** The log of a build: only the rows in sight are in the page, however many there are. */

import { searchIcon } from '@jupyterlab/ui-components';
import Anser from 'anser';
import React, { memo, useDeferredValue, useLayoutEffect, useMemo, useRef, useState } from 'react';

import type { Lines, LogLine } from '../model/lines';
import { plain } from '../model/report';
import { clockText } from '../model/units';
import { useSurroundings } from './context';
import { labelWord } from './words';

/** The height of a row in pixels, as in log.css: with one height for all, their places need no list. */
const ROW = 17;
/** Rows drawn above and below those in sight. */
const SPARE = 20;

export function Log(props: { lines: Lines; missed: number; name: string }): JSX.Element {
  const { copy, download, trans } = useSurroundings();
  const [search, setSearch] = useState('');
  const [following, setFollowing] = useState(true);
  const wanted = useDeferredValue(search).toLowerCase();
  const lines = useMemo(
    () =>
      wanted
        ? props.lines.filter(line => line.text.toLowerCase().includes(wanted) || line.label.includes(wanted))
        : props.lines,
    [props.lines, wanted]
  );
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const first = Math.max(0, Math.floor(top / ROW) - SPARE);
  const inSight = Math.ceil((scroller.current?.clientHeight ?? 300) / ROW);
  useLayoutEffect(() => {
    if (following && scroller.current) {
      scroller.current.scrollTop = scroller.current.scrollHeight;
      setTop(scroller.current.scrollTop);
    }
  }, [following, lines.length]);
  const text = (): string =>
    props.lines
      .slice()
      .map(line => `${clockText(line.time)} ${line.label && `${line.label} `}${plain(line.text)}\n`).join('');
  return (
    <div className="jp-CondaBuild-log">
      <div className="jp-CondaBuild-logTools">
        <label>
          <searchIcon.react tag="span" height="14px" width="14px" />
          <input
            type="search"
            placeholder={trans.__('Search')}
            aria-label={trans.__('Search the log')}
            value={search}
            onChange={event => setSearch(event.target.value)}
          />
        </label>
        {wanted && <span role="status">{trans._n('%1 line', '%1 lines', lines.length)}</span>}
        <button type="button" aria-pressed={following} onClick={() => setFollowing(!following)}>
          {trans.__('Follow')}
          {following && ' ✓'}
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
      <div
        ref={scroller}
        className="jp-CondaBuild-lines"
        role="log"
        aria-label={trans.__('Log')}
        aria-live="off"
        tabIndex={0}
        onScroll={event => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          setTop(scrollTop);
          const atEnd = scrollHeight - scrollTop - clientHeight < ROW * 2;
          if (atEnd !== following && scrollHeight > clientHeight) {
            setFollowing(atEnd);
          }
        }}
      >
        <div style={{ height: lines.length * ROW }}>
          {lines.slice(first, first + inSight + 2 * SPARE).map((line, index) => (
            <div key={first + index} className="jp-CondaBuild-line" style={{ top: (first + index) * ROW }}>
              <Line line={line} word={line.label && labelWord(trans, line.label)} />
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}

/** One line; its text is data: it becomes text nodes, with classes for its colours. */
const Line = memo(function Line(props: { line: LogLine; word: string }): JSX.Element {
  const { line, word } = props;
  return (
    <span className={`jp-mod-${line.kind}`} title={plain(line.text)}>
      <time>{clockText(line.time)}</time>
      {word && <b className={`jp-mod-${line.label}`}>{word}</b>}
      {Anser.ansiToJson(line.text, { use_classes: true, remove_empty: true }).map((part, index) => (
        <span key={index} className={colours(part)}>
          {part.content}
        </span>
      ))}
    </span>
  );
});

function colours(part: Anser.AnserJsonEntry): string | undefined {
  const classes = [part.fg && `jp-mod-${part.fg}`, part.decorations.includes('bold') && 'jp-mod-bold'].filter(Boolean);
  return classes.length ? classes.join(' ') : undefined;
}
