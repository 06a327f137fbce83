/** Small components that the views share. */

import { checkIcon, copyIcon } from '@jupyterlab/ui-components';
import React, { useEffect, useState, type ReactNode } from 'react';

import type { Fault } from '../api/contract';
import { visible, visibleLines } from '../model/visible';
import { useSurroundings } from './context';
import { faultTexts } from './words';

export function Section(props: { title: string; children: ReactNode }): JSX.Element {
  return (
    <section className="jp-CondaBuild-section" aria-label={props.title}>
      <h2>{props.title}</h2>
      {props.children}
    </section>
  );
}

export function Row(props: { name: string; value: string; title?: string }): JSX.Element {
  return (
    <div className="jp-CondaBuild-row" title={props.title && visibleLines(props.title)}>
      <span className="jp-CondaBuild-cut">{visible(props.name)}</span>
      <span className="jp-CondaBuild-quiet">{visible(props.value)}</span>
    </div>
  );
}

/** @param props.label - The name for screen readers, if the text alone does not say what the button is about. */
export function Link(props: { onClick: () => void; children: ReactNode; title?: string; label?: string }): JSX.Element {
  return (
    <button type="button" className="jp-CondaBuild-link" title={props.title} aria-label={props.label} onClick={props.onClick}>
      {props.children}
    </button>
  );
}

export function Check(props: { checked: boolean; onChange: (yes: boolean) => void; children: React.ReactNode }): JSX.Element {
  return (
    <label className="jp-CondaBuild-check">
      <input type="checkbox" checked={props.checked} onChange={event => props.onChange(event.target.checked)} />
      {props.children}
    </label>
  );
}

export function Notice(props: { kind: 'warning' | 'error' | 'info'; fault: Fault; children?: ReactNode }): JSX.Element {
  const { trans } = useSurroundings();
  const { title, details, hint } = faultTexts(trans, props.fault);
  return (
    <div className={`jp-CondaBuild-notice jp-mod-${props.kind}`} role={props.kind === 'error' ? 'alert' : undefined}>
      <p>
        <strong>{title}</strong> {details}
      </p>
      {hint && <p>{hint}</p>}
      {props.children}
    </div>
  );
}

/** `text` is a function if it takes time to make the text. */
export function CopyButton(props: { text: string | (() => string); label: string }): JSX.Element {
  const { copy, trans } = useSurroundings();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (copied) {
      const timer = setTimeout(() => setCopied(false), 2000);
      return () => clearTimeout(timer);
    }
    return undefined;
  }, [copied]);
  const label = copied ? trans.__('Copied') : props.label;
  const Icon = copied ? checkIcon : copyIcon;
  return (
    <button
      type="button"
      className="jp-CondaBuild-icon"
      aria-label={label}
      title={label}
      onClick={() => {
        copy(typeof props.text === 'string' ? props.text : props.text());
        setCopied(true);
      }}
    >
      <Icon.react tag="span" height="16px" width="16px" />
      <span role="status" className="jp-CondaBuild-unseen">
        {copied ? trans.__('Copied') : ''}
      </span>
    </button>
  );
}

export function Bar(props: { fraction: number | null; label: string; text?: string }): JSX.Element {
  const percent = props.fraction === null ? undefined : Math.round(props.fraction * 100);
  return (
    <div
      className={`jp-CondaBuild-bar${percent === undefined ? ' jp-mod-unknown' : ''}`}
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      aria-valuetext={props.text}
    >
      <div style={percent === undefined ? undefined : { width: `${percent}%` }} />
    </div>
  );
}
