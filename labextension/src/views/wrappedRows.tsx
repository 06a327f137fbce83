/** The last lines of a log, each on as many rows as it needs. */

import React, { useLayoutEffect, useRef, useState } from 'react';

import type { Lines } from '../model/lines';
import { useSurroundings } from './context';
import { Link } from './parts';
import { Line } from './rows';
import { labelWord } from './words';

/** The number of lines in the page at first, and after each request for earlier lines. Their height is not known, so that all of them are in the page. */
const SHOWN = 300;

export function WrappedRows(props: { lines: Lines; following: boolean }): JSX.Element {
  const { trans } = useSurroundings();
  const { following, lines } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [shown, setShown] = useState(SHOWN);
  const first = Math.max(0, lines.length - shown);
  useLayoutEffect(() => {
    if (following && scroller.current) {
      scroller.current.scrollTop = scroller.current.scrollHeight;
    }
  }, [following, lines.length]);
  return (
    <div
      ref={scroller}
      className="jp-CondaBuild-lines jp-mod-wrapped"
      role="log"
      aria-label={trans.__('Log')}
      aria-live="off"
      tabIndex={0}
    >
      {first > 0 && <Link onClick={() => setShown(shown + SHOWN)}>{trans.__('Earlier lines (%1)', first)}</Link>}
      {lines.slice(first).map((line, index) => (
        <div key={first + index} className="jp-CondaBuild-line">
          <Line line={line} word={line.label && labelWord(trans, line.label)} />
        </div>
      ))}
    </div>
  );
}
