/** The plan of a build, and the button that starts it. */

import React, { useState } from 'react';

import { registryOf } from '../model/destination';
import { plannedTiles } from '../model/layerMap';
import { destinationOf, obstacleOf, type Destination } from '../model/possible';
import { replaces, type PanelState } from '../model/state';
import { secondsText, sizeText } from '../model/units';
import { expectedSeconds } from '../model/expectation';
import { useSurroundings } from './context';
import { Options } from './destination';
import { LayerMap } from './layerMap';
import { Link, Notice, Section } from './parts';
import { SignInAfter } from './signIn';
import { faultTitle, signatureText } from './words';

export function Plan(props: { state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const { builds, form, planning, snapshot, status } = props.state;
  if (!snapshot) {
    return null;
  }
  const { plan } = snapshot;
  const pushes = destinationOf(props.state) === 'push';
  const compared = pushes && plan.compared;
  const bytes = compared ? plan.bytes_to_push : plan.bytes_total;
  const headline =
    !compared || plan.packages_changed === plan.packages
    ? trans._n('%1 package goes into the image', '%1 packages go into the image', plan.packages)
    : plan.packages_changed === 0
      ? trans.__('Nothing to build: all of it is there')
      : trans._n('%2 of %1 package changed', '%2 of %1 packages changed', plan.packages, plan.packages_changed);
  const seconds = pushes && plan.engine === 'layers' ? expectedSeconds(builds, bytes) : null;
  const cost =
    plan.engine === 'docker'
      ? [plan.caches.length > 0 && trans.__('steps may come from %1', plan.caches.join(', '))]
      : [
          compared && plan.layers_reused > 0 && trans.__('%1 already in the registry', plan.layers_reused),
          pushes ? bytes > 0 && trans.__('%1 to push', sizeText(bytes)) : trans.__('about %1', sizeText(bytes)),
          seconds !== null && bytes > 0 && trans.__('about %1', secondsText(seconds))
        ];
  const signature = pushes && signatureText(trans, plan);
  return (
    <Section title={trans.__('What will happen')}>
      <h2 className="jp-CondaBuild-headline">{headline}</h2>
      {plan.engine === 'docker' ? (
        <pre className="jp-CondaBuild-steplist" tabIndex={0} role="region" aria-label={trans.__('Steps of the Dockerfile')}>
          {plan.steps.join('\n')}
        </pre>
      ) : (
        <LayerMap
          tiles={plannedTiles(plan.layers)}
          label={trans.__('Layers of the plan')}
          legend={['reused', 'waiting']}
        />
      )}
      <p className="jp-CondaBuild-quiet" role="status">
        {planning ? trans.__('Comparing with the registry…') : cost.filter(Boolean).join(' · ')}
      </p>
      {signature && <p className="jp-CondaBuild-quiet">{trans.__('The image that the tag has now: %1', signature)}</p>}
      {pushes && plan.unavailable && (
        <Notice kind="warning" fault={plan.unavailable}>
          <SignInAfter fault={plan.unavailable} registry={registryOf(form.reference, status?.settings.registry ?? '')} />
        </Notice>
      )}
    </Section>
  );
}

export function BuildButton(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const { outdated, startFault, starting } = props.state;
  const current = destinationOf(props.state);
  const obstacle = obstacleOf(props.state);
  const words: Record<Destination, string> = {
    push: replaces(props.state) ? trans.__('Build and replace') : trans.__('Build and push'),
    load: trans.__('Build and load into Docker'),
    archive: trans.__('Build and save as archive')
  };
  const others = ([
    ['push', trans.__('Push to a registry')],
    ['archive', trans.__('Save as archive…')],
    ['load', trans.__('Load into Docker')]
  ] as [Destination, string][]).filter(([destination]) => destination !== current);
  return (
    <>
      {startFault && <Notice kind="error" fault={startFault} />}
      {obstacle?.reason === 'fault' && (
        <Notice kind="error" fault={obstacle.fault}>
          <Link onClick={() => void model.probe()}>{trans.__('Try again')}</Link>
        </Notice>
      )}
      {outdated && (
        <Notice
          kind="warning"
          fault={{
            code: 'outdated',
            message: trans.__('The environment has changed, and nothing is built yet.'),
            hint: trans.__('Look at what goes in now, and start again.')
          }}
        />
      )}
      <button
        type="button"
        className="jp-CondaBuild-go jp-mod-styled jp-mod-accept"
        disabled={starting || obstacle !== null}
        onClick={() => void model.start()}
      >
        {starting ? trans.__('Starting…') : words[current]}
      </button>
      <div className="jp-CondaBuild-links">
        {others.map(([destination, text]) => (
          <Other key={destination} state={props.state} destination={destination} text={text} />
        ))}
        <button
          type="button"
          className="jp-CondaBuild-link"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {trans.__('Options')} {open ? '▴' : '▾'}
        </button>
      </div>
      {open && <Options state={props.state} />}
    </>
  );
}

/** Another destination of the image, or the reason why the image cannot go there. */
function Other(props: { state: PanelState; destination: Destination; text: string }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { destination, state, text } = props;
  const obstacle = obstacleOf(state, destination);
  const current = obstacleOf(state);
  if (obstacle?.reason !== 'fault') {
    return <Link onClick={() => model.edit({ destination })}>{text}</Link>;
  }
  // A fault that stops every build is displayed once.
  return current?.reason === 'fault' && current.fault.code === obstacle.fault.code ? null : (
    <span className="jp-CondaBuild-quiet" title={`${obstacle.fault.message} ${obstacle.fault.hint}`}>
      {trans.__('%1: %2', text, faultTitle(trans, obstacle.fault))}
    </span>
  );
}
