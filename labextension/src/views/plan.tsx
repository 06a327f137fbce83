/** The plan of a build, and what a person can do instead of the build. */

import React, { useState } from 'react';

import type { Plan as Planned } from '../api/contract';
import { registryOf } from '../model/destination';
import { plannedTiles } from '../model/layerMap';
import { headline, shares, type Headline, type Share } from '../model/outlook';
import { destinationOf, obstacleOf, silentRegistry, type Destination } from '../model/possible';
import type { PanelState } from '../model/state';
import { secondsText, shortReference, sizeText } from '../model/units';
import { useSurroundings } from './context';
import { Options } from './destination';
import { Exports } from './exports';
import { LayerMap } from './layerMap';
import { Opener } from './opener';
import { Link, Notice, Row, Section } from './parts';
import { SignInAfter } from './signIn';
import { faultTitle, signatureText } from './words';

export function Plan(props: { state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const { form, planning, snapshot, status } = props.state;
  if (!snapshot) {
    return null;
  }
  const { plan } = snapshot;
  const pushes = destinationOf(props.state) === 'push';
  const compared = pushes && plan.compared;
  const silent = pushes && silentRegistry(props.state) !== null;
  const bytes = compared ? plan.bytes_to_push : plan.bytes_total;
  const words: Record<Headline, string> = {
    all: trans._n('%1 package goes into the image', '%1 packages go into the image', plan.packages),
    changed: trans._n('%2 of %1 package is in a layer that changes', '%2 of %1 packages are in layers that change', plan.packages, plan.packages_changed),
    files: trans.__('The packages are the same; other files changed'),
    copied: trans.__('Nothing to build: all of it is sent'),
    nothing: trans.__('Nothing to build: all of it is there')
  };
  const cost =
    plan.engine === 'docker'
      ? [
          compared ? trans.__('at most about %1 to push', sizeText(bytes)) : trans.__('about %1', sizeText(bytes)),
          trans.__('an estimate: the engine finds out during the build what it can reuse'),
          plan.caches.length > 0 && trans.__('steps may come from %1', plan.caches.map(shortReference).join(', ')),
          !plan.base_known && trans.__('the base image is not counted: it does not answer')
        ]
      : [
          pushes && !silent ? trans.__('%1 to push', sizeText(bytes)) : trans.__('about %1', sizeText(bytes)),
          plan.bytes_to_fetch > 0 && trans.__('%1 of packages to download', sizeText(plan.bytes_to_fetch)),
          plan.seconds !== null && !silent && trans.__('about %1', secondsText(plan.seconds)),
          plan.unmeasured.length > 0 && !silent && trans.__('how long is not known before the first use of %1', plan.unmeasured.join(', ')),
          !plan.base_known && trans.__('the base image is not counted: it does not answer')
        ];
  const signature = pushes && signatureText(trans, plan);
  return (
    <Section title={trans.__('What will happen')}>
      <p className="jp-CondaBuild-headline">{words[headline(plan, compared)]}</p>
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
      {compared && !planning && <Shares plan={plan} />}
      {signature && <p className="jp-CondaBuild-quiet">{trans.__('The image that the tag has now: %1', signature)}</p>}
      {pushes && plan.unavailable && !silent && (
        <Notice kind="warning" fault={plan.unavailable}>
          <SignInAfter fault={plan.unavailable} registry={registryOf(form.reference, status?.settings.registry ?? '')} />
        </Notice>
      )}
    </Section>
  );
}

/** What happens to the bytes of the image: those that are there, those that come from elsewhere, and those that are sent. */
function Shares(props: { plan: Planned }): JSX.Element {
  const { trans } = useSurroundings();
  const word = ({ state, source }: Share): string => {
    switch (state) {
      case 'there':
        return trans.__('There already');
      case 'mounted':
        return trans.__('Taken from %1 in the registry', source);
      case 'copied':
        return trans.__('Copied from %1 through this machine', source);
      case 'uploaded':
        return trans.__('Sent from this machine');
      case 'built and uploaded':
        return trans.__('Built here and sent');
      case 'built':
        return trans.__('Built here, not sent');
      case 'kept':
        return trans.__('On this machine');
    }
  };
  return (
    <>
      {shares(props.plan.layers).map(share => (
        <Row
          key={`${share.state} ${share.source}`}
          name={word(share)}
          value={`${sizeText(share.bytes)} · ${trans._n('%1 layer', '%1 layers', share.layers)}`}
        />
      ))}
    </>
  );
}

/** The other things that a person can do with the environment, and the options of the build. */
export function OtherWays(props: { state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const [files, setFiles] = useState(false);
  const { form, snapshot } = props.state;
  const current = destinationOf(props.state);
  const others = ([
    ['push', trans.__('Push to a registry')],
    ['archive', trans.__('Save as archive')],
    ['load', trans.__('Load into Docker')]
  ] as [Destination, string][]).filter(([destination]) => destination !== current);
  return (
    <>
      <div className="jp-CondaBuild-links">
        {others.map(([destination, text]) => (
          <Other key={destination} state={props.state} destination={destination} text={text} />
        ))}
        <Opener open={open} setOpen={setOpen}>
          {trans.__('Options')} {open ? '▴' : '▾'}
        </Opener>
        <Opener open={files} setOpen={setFiles}>
          {trans.__('Export files')} {files ? '▴' : '▾'}
        </Opener>
      </div>
      {open && <Options state={props.state} />}
      {files && snapshot && <Exports exported={{ lockfile: snapshot.digest, reference: form.reference, ...(form.base && { base: form.base }) }} />}
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
