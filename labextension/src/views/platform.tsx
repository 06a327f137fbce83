/** An environment of another platform than the image: the choice of the platform, and what becomes of the packages. */

import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import type { SubstitutedPackage, Substitution as Table } from '../api/contract';
import type { PanelState } from '../model/state';
import { PLATFORMS, toLookAt, versionsOf, type Closeness } from '../model/target';
import { useSurroundings } from './context';
import { Opener } from './opener';
import { Link, Section } from './parts';

/** Offered if the environment has no image of its own platform, and if its packages were not found for another one. */
export function PlatformChoice(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, reading, status } = props.state;
  const [platform, setPlatform] = useState(form.platform || status?.settings.platforms[0] || 'linux-64');
  const [names, setNames] = useState(form.leaveOut.join(' '));
  return (
    <Section title={trans.__('Packages for Linux')}>
      <p className="jp-CondaBuild-quiet">
        {trans.__('The channels of the environment are searched for the same packages. You see what changes before anything is built.')}
      </p>
      <form
        className="jp-CondaBuild-options"
        onSubmit={event => {
          event.preventDefault();
          const leaveOut = names.split(/[\s,]+/).filter(Boolean);
          if (platform === form.platform && leaveOut.join() === form.leaveOut.join()) {
            void model.readEnvironment();
          } else {
            model.edit({ platform, leaveOut });
          }
        }}
      >
        <label className="jp-CondaBuild-field">
          <span>{trans.__('Platform')}</span>
          <select value={platform} onChange={event => setPlatform(event.target.value)}>
            {PLATFORMS.map(name => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label className="jp-CondaBuild-field">
          <span>{trans.__('Leave out')}</span>
          <input
            value={names}
            placeholder={trans.__('packages, separated by spaces')}
            onChange={event => setNames(event.target.value)}
          />
        </label>
        <button type="submit" className="jp-mod-styled jp-mod-accept" aria-disabled={reading}>
          {trans.__('Find the packages')}
        </button>
      </form>
    </Section>
  );
}

/** The platform of the image, in the options of a build. */
export function PlatformField(props: { state: PanelState }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { form, snapshot } = props.state;
  if (!snapshot) {
    return null;
  }
  const own = snapshot.substitution?.from ?? snapshot.platform;
  const names = PLATFORMS.includes(own) ? PLATFORMS : [own, ...PLATFORMS];
  return (
    <label className="jp-CondaBuild-field">
      <span>{trans.__('Platform')}</span>
      <select
        value={form.platform || snapshot.platform}
        onChange={event => model.edit({ platform: event.target.value === own ? '' : event.target.value })}
      >
        {names.map(name => (
          <option key={name} value={name} disabled={!name.startsWith('linux-')}>
            {name === own ? trans.__('%1: the environment’s', name) : name}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What becomes of each package: the counts first, then the packages that need a look, then all others if asked for. */
export function Substitution(props: { state: PanelState; table: Table }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form } = props.state;
  const { table } = props;
  const [open, setOpen] = useState(false);
  const id = useId();
  const label = trans.__('From %1 to %2', table.from, table.platform);
  const rows = toLookAt(table);
  return (
    <Section title={label}>
      <p>{countsText(trans, table)}</p>
      {rows.length > 0 && <Rows label={trans.__('Packages that need your look')} rows={rows} table={table} />}
      {form.leaveOut.map(name => (
        <p key={name} className="jp-CondaBuild-quiet">
          {trans.__('Left out: %1', name)}{' '}
          <Link label={trans.__('Undo: %1', name)} onClick={() => model.edit({ leaveOut: form.leaveOut.filter(other => other !== name) })}>
            {trans.__('Undo')}
          </Link>
        </p>
      ))}
      <label className="jp-CondaBuild-field">
        <span>{trans.__('Accept')}</span>
        <select value={form.strictVersions} onChange={event => model.edit({ strictVersions: event.target.value as Closeness | '' })}>
          <option value="">{trans.__('any version that was requested')}</option>
          <option value="same-minor">{trans.__('another patch version')}</option>
          <option value="same-version">{trans.__('another build of the same version')}</option>
          <option value="same-build">{trans.__('the same build only')}</option>
        </select>
      </label>
      <Opener open={open} setOpen={setOpen} controls={id}>
        {open ? trans.__('Hide all packages') : trans.__('Show all packages')}
      </Opener>
      <div id={id} hidden={!open}>
        {open && <Rows label={trans.__('All packages')} rows={table.packages} table={table} />}
      </div>
    </Section>
  );
}

function Rows(props: { label: string; rows: readonly SubstitutedPackage[]; table: Table }): JSX.Element {
  const { trans } = useSurroundings();
  return (
    <div className="jp-CondaBuild-table jp-mod-reasons" tabIndex={0} role="region" aria-label={props.label}>
      <table aria-label={props.label}>
        <thead>
          <tr>
            <th scope="col">{trans.__('Package')}</th>
            <th scope="col">{props.table.from}</th>
            <th scope="col">{props.table.platform}</th>
            <th scope="col">{trans.__('Why')}</th>
          </tr>
        </thead>
        <tbody>
          {props.rows.map(row => {
            const [here, there] = versionsOf(row);
            return (
              <tr key={`${row.manager} ${row.name}`}>
                <th scope="row">{row.name}</th>
                <td title={row.here}>{here || '–'}</td>
                <td title={row.there}>{there || '–'}</td>
                <td>{row.why || levelWord(trans, row.level)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function countsText(trans: TranslationBundle, { counts, packages }: Table): string {
  const count = (level: SubstitutedPackage['level']): number => counts[level] ?? 0;
  const parts = [
    count('same-version') && trans.__('%1 another build', count('same-version')),
    count('same-minor') && trans.__('%1 another patch version', count('same-minor')),
    count('as-requested') && trans.__('%1 another version: needs your look', count('as-requested')),
    count('left-out') && trans.__('%1 left out', count('left-out')),
    count('missing') && trans.__('%1 not available', count('missing')),
    count('added') && trans.__('%1 added', count('added'))
  ].filter(Boolean);
  const here = packages.filter(row => row.here).length;
  return [trans.__('%1 of %2 the same build', count('same-build'), here), ...parts].join(', ');
}

function levelWord(trans: TranslationBundle, level: SubstitutedPackage['level']): string {
  const words: Record<SubstitutedPackage['level'], string> = {
    'same-build': trans.__('the same build'),
    'same-version': trans.__('another build of the same version'),
    'same-minor': trans.__('another patch version'),
    'as-requested': trans.__('another version'),
    'left-out': trans.__('left out'),
    missing: trans.__('not available'),
    added: trans.__('added')
  };
  return words[level];
}
