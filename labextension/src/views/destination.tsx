/** The destination of the image, and the options of its build. */

import React, { useId } from 'react';

import { engineOf, type PanelState } from '../model/state';
import { looksLikeReference, namesRegistry } from '../model/destination';
import { useSurroundings } from './context';
import { Check, Section } from './parts';

export function Destination(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, status } = props.state;
  const id = useId();
  const registry = status?.settings.registry ?? '';
  const problem = !looksLikeReference(form.reference)
    ? trans.__('A name reads registry/repository:tag, in lower case.')
    : form.destination === 'push' && !registry && !namesRegistry(form.reference)
      ? trans.__('Put a registry before the name, such as registry.lab.org/team/, or save an archive.')
      : '';
  return (
    <Section title={trans.__('Where it goes')}>
      <input
        className="jp-CondaBuild-reference jp-mod-styled"
        value={form.reference}
        spellCheck={false}
        aria-label={trans.__('Name of the image')}
        aria-invalid={!!problem}
        aria-describedby={problem ? id : undefined}
        onChange={event => model.edit({ reference: event.target.value.trim() })}
      />
      {problem && (
        <p id={id} className="jp-CondaBuild-problem">
          {problem}
        </p>
      )}
    </Section>
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
      {form.destination === 'archive' && (
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
    </div>
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
