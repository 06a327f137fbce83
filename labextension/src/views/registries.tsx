/** The registry of the image: whether the person may push there, and the other registries to choose from. */

import { caretDownIcon } from '@jupyterlab/ui-components';
import React, { useId, useState } from 'react';

import { destinationOf } from '../model/possible';
import { movedTo, registriesOf, type KnownRegistry } from '../model/registries';
import type { PanelState } from '../model/state';
import { useSurroundings } from './context';
import { SignIn } from './signIn';
import { IconOpener } from './opener';
import { faultTitle } from './words';

/** The state of the login for the registry of the form. */
export function PermissionLine(props: { state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const { permission, snapshot } = props.state;
  if (!permission || destinationOf(props.state) !== 'push') {
    return null;
  }
  const { allowed, fault, problem, registry, repository, user } = permission;
  if (allowed) {
    return (
      <p className="jp-CondaBuild-quiet">
        {user
          ? trans.__('Signed in as %1: may push to %2', user, repository)
          : trans.__('No login needed: may push to %1', repository)}
      </p>
    );
  }
  // The plan displays the same fault with the same form.
  const isSaid = snapshot?.plan.unavailable && snapshot.plan.unavailable.code === fault?.code;
  return (
    <div className="jp-CondaBuild-quiet">
      <p>
        {user
          ? trans.__('Signed in as %1, but a push to %2 is not possible: %3', user, repository, fault ? faultTitle(trans, fault) : '')
          : fault && fault.code !== 'registry_unauthorized' && fault.code !== 'registry_denied'
            ? trans.__('Whether you may push to %1 is not known: %2', repository, faultTitle(trans, fault))
            : trans.__('Not signed in to %1', registry)}
        {problem && ` (${problem})`}
      </p>
      {!isSaid && !user && <SignIn registry={registry} />}
    </div>
  );
}

/** A button that opens the list of registries. */
export function RegistriesButton(props: { state: PanelState; children: React.ReactNode }): JSX.Element {
  const { model, trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
  const registries = registriesOf(props.state);
  const label = trans.__('Choose a registry');
  const choose = (registry: KnownRegistry): void => {
    model.edit({ reference: movedTo(registry.name, props.state.form.reference), destination: 'push' });
    setOpen(false);
  };
  const words = (registry: KnownRegistry): string =>
    [
      { setting: trans.__('the registry of this server'), history: trans.__('used before'), login: registry.user ? '' : trans.__('in the configuration of Docker or Podman') }[registry.from],
      registry.user && trans.__('signed in as %1', registry.user)
    ]
      .filter(Boolean)
      .join(' · ');
  return (
    <>
      <div className="jp-CondaBuild-choicesRow">
        {props.children}
        {registries.length > 0 && (
          <IconOpener icon={caretDownIcon} label={label} open={open} setOpen={setOpen} controls={id} />
        )}
      </div>
      <div id={id}>
        {open && (
          <ul className="jp-CondaBuild-history" aria-label={trans.__('Registries')}>
            {registries.map(registry => (
              <li key={registry.name}>
                <button type="button" className="jp-CondaBuild-entry" onClick={() => choose(registry)}>
                  <span className="jp-CondaBuild-cut">{registry.name}</span>
                  <span className="jp-CondaBuild-quiet jp-CondaBuild-cut">{words(registry)}</span>
                </button>
              </li>
            ))}
          </ul>
        )}
      </div>
    </>
  );
}
