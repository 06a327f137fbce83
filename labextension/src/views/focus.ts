/** The focus of the keyboard, when the element that has it disappears with a change of the view. */

import { useEffect, useLayoutEffect, useRef, type RefObject } from 'react';

const FOCUSABLE = 'a[href], button:not(:disabled), input:not(:disabled), textarea:not(:disabled), select:not(:disabled)';

/**
 * Move the focus if the element that had it was removed. Otherwise a person at the keyboard would begin at the top of the page
 * again. If the view has changed, its title gets the focus; else the nearest element that is left, for example in the same list.
 *
 * @param view - A text that changes with the view.
 * @returns The reference for the element around the views. A title in it has the class `jp-CondaBuild-title`.
 */
export function useKeptFocus(view: string): RefObject<HTMLDivElement> {
  const views = useRef<HTMLDivElement>(null);
  /** The element that had the focus or was clicked last, and the elements around it, if it is in the views. */
  const last = useRef<Element[]>([]);
  const before = useRef(view);
  useEffect(() => {
    // An element that is removed or disabled may lose the focus with or without an event, so that events of a loss do not count.
    const note = (event: Event): void => {
      const path = event.composedPath();
      const end = path.indexOf(views.current as EventTarget);
      last.current = path.slice(0, Math.max(end, 0)).filter((each): each is Element => each instanceof Element);
    };
    document.addEventListener('focusin', note);
    document.addEventListener('pointerdown', note);
    return () => {
      document.removeEventListener('focusin', note);
      document.removeEventListener('pointerdown', note);
    };
  }, []);
  useLayoutEffect(() => {
    const [focused] = last.current;
    const isOther = before.current !== view;
    before.current = view;
    if (!focused || document.activeElement !== document.body || (!isOther && focused.isConnected)) {
      return;
    }
    const left = isOther ? undefined : last.current.find(each => each.isConnected && each.closest('section, .jp-CondaBuild-foot'));
    const next = left?.querySelector<HTMLElement>(FOCUSABLE);
    const title = [...(views.current?.querySelectorAll<HTMLElement>('.jp-CondaBuild-title') ?? [])].pop();
    (next ?? title)?.focus();
  });
  return views;
}
