/** The contents of the environment. */

import React from 'react';

import type { Build, Snapshot } from '../api/contract';
import type { PanelState } from '../model/state';
import { containerIcon } from '../icons';
import { sizeText } from '../model/units';
import { visible } from '../model/visible';
import { ChoicesButton, ChoicesList } from './choices';
import { useSurroundings } from './context';
import { Check, Link, Notice, Row, Section } from './parts';
import { PlatformChoice } from './platform';
import { environmentName } from './words';

export function Heading(props: { state: PanelState }): JSX.Element | null {
  const { trans } = useSurroundings();
  const { snapshot, subject } = props.state;
  if (!snapshot || !subject) {
    return null;
  }
  const packages = snapshot.conda.length + snapshot.pip.length;
  const facts = [
    visible(subject.title),
    snapshot.python && `Python ${snapshot.python}`,
    trans._n('%1 package', '%1 packages', packages),
    snapshot.plan.bytes_total > 0 && sizeText(snapshot.plan.bytes_total)
  ];
  return (
    <div className="jp-CondaBuild-heading" title={visible(snapshot.prefix)}>
      <containerIcon.react tag="span" height="28px" width="28px" />
      <div>
        <h2 className="jp-CondaBuild-title jp-CondaBuild-cut" tabIndex={-1}>{visible(snapshot.name)}</h2>
        <p className="jp-CondaBuild-quiet">{facts.filter(Boolean).join(' · ')}</p>
      </div>
    </div>
  );
}

/** Names the environment that would be built. The person can choose another one. */
export function ChosenHeading(props: { state: PanelState }): JSX.Element | null {
  return props.state.snapshot ? (
    <div>
      <ChoicesButton state={props.state}>
        <Heading state={props.state} />
      </ChoicesButton>
    </div>
  ) : null;
}

/** Names the environment of a build, which may be another one than that of the current notebook. */
export function BuildHeading(props: { build: Build; state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  const { build, state } = props;
  const { builds, snapshot, subject } = state;
  if (snapshot && subject && snapshot.prefix === build.request.prefix) {
    return <Heading state={state} />;
  }
  const isOther = snapshot && subject && build.request.prefix;
  return (
    <div className="jp-CondaBuild-heading" title={visible(build.request.prefix)}>
      <containerIcon.react tag="span" height="28px" width="28px" />
      <div>
        <h2 className="jp-CondaBuild-title jp-CondaBuild-cut" tabIndex={-1}>{environmentName(build, builds)}</h2>
        <p className="jp-CondaBuild-quiet">
          {visible(isOther ? trans.__('Not the environment of %1', subject.title) : build.request.prefix || build.request.reference)}
        </p>
      </div>
    </div>
  );
}

export function Contents(props: { snapshot: Snapshot; state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, subject } = props.state;
  const { channels, pip, drift } = props.snapshot;
  const strays = drift.untracked.count;
  return (
    <Section title={trans.__('What goes in')}>
      {channels.map(channel => (
        <Row
          key={channel.url}
          name={channelName(channel.url)}
          title={channel.url}
          value={trans._n('%1 package', '%1 packages', channel.packages)}
        />
      ))}
      {pip.length > 0 && <Row name="pip" value={trans._n('%1 package', '%1 packages', pip.length)} />}
      {strays > 0 && (
        <Row
          name={trans.__('files of no package')}
          title={drift.untracked.first.map(file => file.path).join('\n')}
          value={`${strays} · ${sizeText(drift.untracked.bytes)}`}
        />
      )}
      {form.include !== '' && <Row name={trans.__('your files')} value={form.include} />}
      {form.include === '' && subject?.path && (
        <Check checked={form.notebook} onChange={notebook => model.edit({ notebook })}>
          {trans.__('Include this notebook (%1)', visible(subject.title))}
        </Check>
      )}
    </Section>
  );
}

/** The choice to put files that seem to hold secrets into the image: the listed files, and no others. */
export function AllowSecrets(props: { state: PanelState }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { form, snapshot } = props.state;
  // The snapshot does not list the secrets of files that are allowed already.
  const paths = [...new Set([...(snapshot?.secrets.map(({ path }) => path) ?? []), ...form.selection.allowSecret])];
  if (paths.length === 0) {
    return null;
  }
  return (
    <Check
      checked={paths.every(path => form.selection.allowSecret.includes(path))}
      onChange={yes => model.edit({ selection: { ...form.selection, allowSecret: yes ? paths : [] } })}
    >
      {trans.__('Put these files in anyway')}
    </Check>
  );
}

/** Displayed without an environment: the reason, and what to do. */
export function NoEnvironment(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, reading, snapshotFault, subject } = props.state;
  if (snapshotFault) {
    const needsPlatform = snapshotFault.code === 'platform_needed';
    return (
      <>
        <Notice kind={needsPlatform || snapshotFault.code === 'not_a_conda_kernel' ? 'info' : 'error'} fault={needsPlatform ? { ...snapshotFault, hint: '' } : snapshotFault}>
          {!needsPlatform && <Link onClick={() => void model.readEnvironment()}>{trans.__('Try again')}</Link>}
        </Notice>
        {(needsPlatform || form.platforms.length > 0) && <PlatformChoice state={props.state} />}
        <OtherEnvironments state={props.state} />
      </>
    );
  }
  if (subject || reading) {
    return (
      <p className="jp-CondaBuild-quiet" role="status">
        {trans.__('Reading the environment…')}
      </p>
    );
  }
  return (
    <>
      <Notice
        kind="info"
        fault={{
          code: 'no_kernel',
          message: trans.__('No notebook with a kernel is open.'),
          hint: trans.__('Choose an environment here, or open a notebook: the panel follows it.')
        }}
      />
      <OtherEnvironments state={props.state} />
    </>
  );
}

function OtherEnvironments(props: { state: PanelState }): JSX.Element {
  const { trans } = useSurroundings();
  return (
    <Section title={trans.__('Choose an environment')}>
      <ChoicesList state={props.state} />
    </Section>
  );
}

function channelName(url: string): string {
  return url.replace(/\/+$/, '').split('/').pop() || url;
}
