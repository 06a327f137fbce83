/** What happened while the panel was closed or displayed another view: builds that ended, and requests that were refused. */

import type { Asked, Build, Fault } from '../api/contract';
import type { Store } from './store';

/** A request that the server refused after the person had moved on to another view. */
export interface Refusal {
  asked: Partial<Pick<Asked, 'reference' | 'archive' | 'prefix'>>;
  fault: Fault;
}

/** A build that has ended, or a refused request. */
export type NewsItem = { ended: Build } | { refused: Refusal };

/** The largest number of items. The history has the older builds. */
const MOST_ITEMS = 5;

export class News {
  constructor(private readonly store: Store) {}

  add(item: NewsItem): void {
    this.store.set({ news: [...this.store.state.news, item].slice(-MOST_ITEMS) });
  }

  remove(item: NewsItem): void {
    this.keep(each => each !== item);
  }

  /** Remove a build that the person sees now, or that is no longer in the history. */
  removeBuild(id: string): void {
    this.keep(each => !('ended' in each && each.ended.id === id));
  }

  private keep(isKept: (item: NewsItem) => boolean): void {
    const news = this.store.state.news.filter(isKept);
    if (news.length < this.store.state.news.length) {
      this.store.set({ news });
    }
  }
}
