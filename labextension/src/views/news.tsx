/** What happened while the panel was closed or displayed another view, above the view and always in sight. */

import { closeIcon } from '@jupyterlab/ui-components';
import React from 'react';

import type { NewsItem } from '../model/news';
import type { PanelState } from '../model/state';
import { useSurroundings } from './context';
import { Link } from './parts';
import { doneText, refusedText } from './words';

export function NewsList(props: { state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  // A screen reader tells what is added to an element with this role, if the element was there before.
  return (
    <div role="status" aria-atomic="false" aria-label={trans.__('News')} className="jp-CondaBuild-news">
      {props.state.news.map((item, index) => (
        <Item key={index} item={item} />
      ))}
    </div>
  );
}

function Item(props: { item: NewsItem }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { item } = props;
  const ended = 'ended' in item ? item.ended : null;
  const text = 'ended' in item ? doneText(trans, item.ended) : refusedText(trans, item.refused);
  const kind = ended?.state === 'finished' ? 'success' : ended?.state === 'cancelled' ? 'info' : 'error';
  return (
    <div className={`jp-CondaBuild-notice jp-mod-${kind}`}>
      <p>{text}</p>
      {ended && (
        <Link onClick={() => model.show(ended.id)} label={trans.__('Show: %1', text)}>
          {trans.__('Show')}
        </Link>
      )}
      <button
        type="button"
        className="jp-CondaBuild-icon"
        title={trans.__('Close')}
        aria-label={trans.__('Close: %1', text)}
        onClick={() => model.news.remove(item)}
      >
        <closeIcon.react tag="span" height="16px" width="16px" />
      </button>
    </div>
  );
}
