/** Buttons that open and close what stands below them. */

import type { LabIcon } from '@jupyterlab/ui-components';
import React, { type ReactNode } from 'react';

interface Opening {
  open: boolean;
  setOpen: (open: boolean) => void;
  /** The id of the element that opens. */
  controls?: string;
}

export function Opener(props: Opening & { children: ReactNode; className?: string }): JSX.Element {
  return (
    <button
      type="button"
      className={`jp-CondaBuild-link ${props.className ?? ''}`.trim()}
      aria-expanded={props.open}
      aria-controls={props.controls}
      onClick={() => props.setOpen(!props.open)}
    >
      {props.children}
    </button>
  );
}

export function IconOpener(props: Opening & { icon: LabIcon; label: string }): JSX.Element {
  return (
    <button
      type="button"
      className="jp-CondaBuild-icon"
      aria-label={props.label}
      title={props.label}
      aria-expanded={props.open}
      aria-controls={props.controls}
      onClick={() => props.setOpen(!props.open)}
    >
      <props.icon.react tag="span" height="16px" width="16px" />
    </button>
  );
}
