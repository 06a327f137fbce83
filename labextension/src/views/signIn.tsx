/** Signing in to a registry: a user name, and a password that only this form has. */

import React, { useState, type FormEvent } from 'react';

import type { Fault } from '../api/contract';
import { faultOf } from '../model/fault';
import { useSurroundings } from './context';
import { Link, Notice } from './parts';

/** The errors of a registry that a login may mend. */
const MENDED = new Set(['registry_denied', 'registry_not_found', 'registry_unauthorized']);

/** A link that opens the form, behind an error that a login may mend. */
export function SignInAfter(props: { fault: Fault; registry: string }): JSX.Element | null {
  return MENDED.has(props.fault.code) ? <SignIn registry={props.registry} /> : null;
}

/** A link that opens the form. */
export function SignIn(props: { registry: string }): JSX.Element {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  return open ? (
    <Form registry={props.registry} close={() => setOpen(false)} />
  ) : (
    <Link onClick={() => setOpen(true)}>{trans.__('Sign in to %1…', props.registry)}</Link>
  );
}

function Form(props: { registry: string; close: () => void }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { registry } = props;
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const [kept, setKept] = useState('');
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setFault(null);
    try {
      const login = await model.signIn(registry, user, password);
      setKept(
        login.tested
          ? trans.__('%1 accepts the login of %2. It is kept in %3.', registry, login.user, login.place)
          : trans.__('%1 did not ask for a login. That of %2 is kept in %3.', registry, login.user, login.place)
      );
    } catch (error) {
      setFault(faultOf(error));
    }
    setPassword('');
    setBusy(false);
  };
  if (kept) {
    return (
      <p role="status">
        {kept} <Link onClick={props.close}>{trans.__('Close')}</Link>
      </p>
    );
  }
  return (
    <form className="jp-CondaBuild-signIn" aria-label={trans.__('Sign in to %1', registry)} onSubmit={event => void submit(event)}>
      <label className="jp-CondaBuild-field">
        <span>{trans.__('User')}</span>
        <input autoFocus required value={user} autoComplete="username" spellCheck={false} onChange={event => setUser(event.target.value)} />
      </label>
      <label className="jp-CondaBuild-field">
        <span>{trans.__('Password or token')}</span>
        <input
          required
          type="password"
          value={password}
          autoComplete="current-password"
          onChange={event => setPassword(event.target.value)}
        />
      </label>
      {fault && <Notice kind="error" fault={fault} />}
      <div className="jp-CondaBuild-links">
        <button type="submit" className="jp-mod-styled" disabled={busy}>
          {busy ? trans.__('Testing…') : trans.__('Sign in')}
        </button>
        <Link onClick={props.close}>{trans.__('Close')}</Link>
      </div>
    </form>
  );
}
