/** The rows of a log. Only the visible rows are in the page. */

import Anser from 'anser';
import React, { memo, useLayoutEffect, useRef, useState } from 'react';

import type { Lines, LogLine } from '../model/lines';
import { plain } from '../model/report';
import { visible } from '../model/visible';
import { clockText } from '../model/units';
import { useSurroundings } from './context';
import { labelWord } from './words';

/** The height of every row in pixels, as in log.css. */
const ROW = 17;
/** The number of rows that fit into the height of the log in log.css. A measurement would force a layout. */
const IN_SIGHT = 13;
/** The rows that are drawn above and below the visible ones. */
const SPARE = 20;
const DRAWN = IN_SIGHT + 2 * SPARE;

export function Rows(props: { lines: Lines; following: boolean; follow: (yes: boolean) => void }): JSX.Element {
  const { trans } = useSurroundings();
  const { follow, following, lines } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const height = lines.length * ROW;
  const wanted = following ? lines.length - DRAWN : Math.floor(top / ROW) - SPARE;
  const first = Math.max(0, Math.min(wanted, lines.length - DRAWN));
  useLayoutEffect(() => {
    if (following && scroller.current) {
      scroller.current.scrollTop = height;
    }
  }, [following, height]);
  const scrolled = ({ currentTarget }: React.UIEvent<HTMLDivElement>): void => {
    const { clientHeight, scrollTop } = currentTarget;
    const atEnd = height - scrollTop - clientHeight < ROW * 2;
    if (!following || !atEnd) {
      setTop(scrollTop);
    }
    if (atEnd !== following && height > clientHeight) {
      follow(atEnd);
    }
  };
  return (
    <div
      ref={scroller}
      className="jp-CondaBuild-lines"
      role="log"
      aria-label={trans.__('Log')}
      aria-live="off"
      tabIndex={0}
      onScroll={scrolled}
    >
      <div style={{ height }}>
        {lines.slice(first, first + DRAWN).map((line, index) => (
          // Rows are reused, so that no node is created: a row that leaves at the top gets another line and appears at the bottom.
          <div key={(first + index) % DRAWN} className="jp-CondaBuild-line" style={{ top: (first + index) * ROW }}>
            <Line line={line} word={line.label && labelWord(trans, line.label)} />
          </div>
        ))}
      </div>
    </div>
  );
}

/** A line of the log. Its text becomes text nodes, with classes for its colours. */
export const Line = memo(function Line(props: { line: LogLine; word: string }): JSX.Element {
  const { line, word } = props;
  return (
    <span className={`jp-mod-${line.kind}`} title={visible(plain(line.text))}>
      <time>{clockText(line.time)}</time>
      {word && <b className={`jp-mod-${line.label}`}>{word}</b>}
      {Anser.ansiToJson(line.text, { use_classes: true, remove_empty: true }).map((part, index) => (
        <span key={index} className={colours(part)}>
          {visible(part.content)}
        </span>
      ))}
    </span>
  );
});

function colours(part: Anser.AnserJsonEntry): string | undefined {
  const classes = [part.fg && `jp-mod-${part.fg}`, part.decorations.includes('bold') && 'jp-mod-bold'].filter(Boolean);
  return classes.length ? classes.join(' ') : undefined;
}
