/** The focus of the keyboard, when the element that has it disappears with a change of the view. */

import { useEffect, useLayoutEffect, useRef, type RefObject } from 'react';

/**
 * Move the focus to the view's title if the change of the view has removed the element that had the focus. Otherwise a person
 * at the keyboard would begin at the top of the page again.
 *
 * @param view - A text that changes with the view.
 * @returns The reference for the element around the views. A title in it has the class `jp-CondaBuild-title`.
 */
export function useKeptFocus(view: string): RefObject<HTMLDivElement> {
  const views = useRef<HTMLDivElement>(null);
  const inside = useRef(false);
  useEffect(() => {
    // An element that is removed or disabled may lose the focus with or without an event, so that events of a loss do not count.
    const note = (event: Event): void => {
      inside.current = views.current?.contains(event.target as Node) ?? false;
    };
    document.addEventListener('focusin', note);
    document.addEventListener('pointerdown', note);
    return () => {
      document.removeEventListener('focusin', note);
      document.removeEventListener('pointerdown', note);
    };
  }, []);
  useLayoutEffect(() => {
    if (inside.current && document.activeElement === document.body) {
      [...(views.current?.querySelectorAll<HTMLElement>('.jp-CondaBuild-title') ?? [])].pop()?.focus();
    }
  }, [view]);
  return views;
}
