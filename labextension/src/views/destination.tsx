/** The destination of the image, and the options of its build. */

import React, { useId, useState } from 'react';

import { hasEngine } from '../model/checks';
import { engineOf, existingBuild, replaces, type PanelState } from '../model/state';
import { shortDigest } from '../model/units';
import { destinationOf, obstacleOf } from '../model/possible';
import { badNames, namesIn } from '../model/selection';
import { useSurroundings } from './context';
import { Check, Notice, Section } from './parts';
import { PlatformField } from './platform';
import { PermissionLine, RegistriesButton } from './registries';
import { agoText } from './words';

export function Destination(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, snapshot, starting } = props.state;
  const id = useId();
  const obstacle = obstacleOf(props.state);
  const problem =
    obstacle?.reason === 'name'
      ? trans.__('A name reads registry/repository:tag, in lower case.')
      : obstacle?.reason === 'registry'
        ? trans.__('Put a registry before the name, such as registry.lab.org/team/ or docker.io/you/, or save an archive.')
        : '';
  return (
    <Section title={trans.__('Where it goes')}>
      <RegistriesButton state={props.state}>
        {/* The second text gives the field its height, so that a long name has several lines and its tag stays in sight. */}
        <div className="jp-CondaBuild-reference" data-text={form.reference}>
          <textarea
            className="jp-mod-styled"
            rows={1}
            value={form.reference}
            spellCheck={false}
            aria-label={trans.__('Name of the image')}
            aria-invalid={!!problem}
            aria-describedby={problem ? id : undefined}
            onChange={event => model.edit({ reference: event.target.value.replace(/\s/g, '') })}
            onKeyDown={event => {
              if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
                event.preventDefault();
                if (!starting && !obstacle) {
                  void model.start();
                }
              }
            }}
          />
        </div>
      </RegistriesButton>
      <PermissionLine state={props.state} />
      {snapshot && (
        <p className="jp-CondaBuild-quiet jp-CondaBuild-contents" title={snapshot.identity}>
          {trans.__('Contents:')} <span className="jp-CondaBuild-mono">{shortDigest(snapshot.identity)}</span>
        </p>
      )}
      <ExistingImage state={props.state} />
      {problem && (
        <p id={id} className="jp-CondaBuild-problem">
          {problem}
        </p>
      )}
    </Section>
  );
}

/** Says that the name has an image already, and how it differs from the environment. */
function ExistingImage(props: { state: PanelState }): JSX.Element | null {
  const { language, trans } = useSurroundings();
  const { existing, form } = props.state;
  if (!existing || destinationOf(props.state) !== 'push' || !replaces(props.state)) {
    return null;
  }
  const name = form.reference.split('/').pop() ?? '';
  const mine = existingBuild(props.state);
  const facts = [
    mine && trans.__('you pushed it %1', agoText(language, mine.ended ?? mine.created)),
    existing.changes === 0 && trans.__('its packages are the same'),
    existing.changes && trans._n('%1 package differs', '%1 packages differ', existing.changes)
  ].filter(Boolean);
  return (
    <Notice
      kind="warning"
      fault={{
        code: 'existing_image',
        message: trans.__('%1 exists', name) + (facts.length ? `: ${facts.join(', ')}` : ''),
        hint: trans.__('A build replaces it. To keep it, write another name.')
      }}
    />
  );
}

export function Options(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, status } = props.state;
  const settings = status?.settings;
  return (
    <div className="jp-CondaBuild-options">
      <Field label={trans.__('Base image')}>
        <input
          value={form.base}
          placeholder={settings?.base_image}
          onChange={event => model.edit({ base: event.target.value.trim() })}
        />
      </Field>
      <PlatformField state={props.state} />
      <Field label={trans.__('Engine')}>
        <select
          value={form.engine}
          onChange={event => model.edit({ engine: event.target.value as typeof form.engine })}
        >
          <option value="">{trans.__('As set up (%1)', settings?.engine ?? 'layers')}</option>
          <option value="layers">{trans.__('layers: without Docker')}</option>
          <option value="docker">{trans.__('docker: a Dockerfile, by BuildKit')}</option>
        </select>
      </Field>
      {engineOf(props.state) === 'docker' && (
        <>
          <Field label={trans.__('Installer')}>
            <select
              value={form.installer}
              onChange={event => model.edit({ installer: event.target.value as typeof form.installer })}
            >
              <option value="">{trans.__('As set up')}</option>
              <option value="micromamba">micromamba</option>
              <option value="conda">conda</option>
              <option value="rattler">rattler</option>
            </select>
          </Field>
          <Check checked={form.pull} onChange={pull => model.edit({ pull })}>
            {trans.__('Look for a newer image of the installer')}
          </Check>
        </>
      )}
      <DebianPackages key={form.selection.apt.join()} state={props.state} />
      <Field label={trans.__('Reuse layers of')}>
        <input
          value={form.cacheFrom}
          placeholder={settings?.cache_from.join(' ') || trans.__('images, separated by spaces')}
          onChange={event => model.edit({ cacheFrom: event.target.value })}
        />
      </Field>
      <Field label={trans.__('Include the folder')}>
        <input
          value={form.include}
          placeholder={trans.__('none (. is the one that Jupyter shows)')}
          onChange={event => model.edit({ include: event.target.value })}
        />
      </Field>
      {destinationOf(props.state) === 'archive' && (
        <Field label={trans.__('File')}>
          <input
            value={form.archive}
            placeholder={trans.__('after the image’s name')}
            onChange={event => model.edit({ archive: event.target.value })}
          />
        </Field>
      )}
      <Check checked={form.strict} onChange={strict => model.edit({ strict })}>
        {trans.__('Refuse what cannot be reproduced')}
      </Check>
      {hasEngine(status) && (
        <Check checked={form.check} onChange={check => model.edit({ check })}>
          {trans.__('Check the new image: import what the notebook imports')}
        </Check>
      )}
    </div>
  );
}

/** Packages of Debian for the base. They are taken when the field is left: part of a name is another name. */
function DebianPackages(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, status } = props.state;
  const [text, setText] = useState(form.selection.apt.join(' '));
  const take = (): void => {
    const apt = namesIn(text);
    if (apt.join() !== form.selection.apt.join()) {
      model.edit({ selection: { ...form.selection, apt } });
    }
  };
  return (
    <Field label={trans.__('Packages of Debian')}>
      <input
        value={text}
        placeholder={status?.settings.apt.join(' ') || trans.__('libraries that are missing, such as libgl1')}
        spellCheck={false}
        aria-invalid={badNames(form.selection).length > 0}
        onChange={event => setText(event.target.value)}
        onBlur={take}
        onKeyDown={event => {
          if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
            take();
          }
        }}
      />
    </Field>
  );
}

function Field(props: { label: string; children: React.ReactNode }): JSX.Element {
  return (
    <label className="jp-CondaBuild-field">
      <span>{props.label}</span>
      {props.children}
    </label>
  );
}
