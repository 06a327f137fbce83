/** The rows of a log: only those in sight are in the page, however many there are. */

import Anser from 'anser';
import React, { memo, useLayoutEffect, useRef, useState } from 'react';

import type { Lines, LogLine } from '../model/lines';
import { plain } from '../model/report';
import { clockText } from '../model/units';
import { useSurroundings } from './context';
import { labelWord } from './words';

/** The height of a row in pixels, as in log.css: with one height for all, their places need no list. */
const ROW = 17;
/** As many rows as fit into the log's height in log.css; asking the page would make it lay itself out. */
const IN_SIGHT = 13;
/** Rows drawn above and below those in sight. */
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
          // Rows go round: one that leaves at the top comes back below with another line, and the page gets no new nodes.
          <div key={(first + index) % DRAWN} className="jp-CondaBuild-line" style={{ top: (first + index) * ROW }}>
            <Line line={line} word={line.label && labelWord(trans, line.label)} />
          </div>
        ))}
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
