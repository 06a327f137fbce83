/** An environment of another platform than the image: the choice of the platform, and what becomes of the packages. */

import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState, type ReactNode } from 'react';

import type { Snapshot, SubstitutedPackage, Substitution as Table } from '../api/contract';
import type { PanelState } from '../model/state';
import { CHOICES, ownPlatform, platformsOf, preselected, tablesOf, toLookAt, versionsOf, type Closeness } from '../model/target';
import { useSurroundings } from './context';
import { Opener } from './opener';
import { Link, Section } from './parts';
import { reasonText } from './words';

/** Offered if the environment has no image of its own platform, and if its packages were not found for another one. */
export function PlatformChoice(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form, reading, snapshotFault, status } = props.state;
  const [platforms, setPlatforms] = useState(preselected(form, status?.settings.platforms ?? [], snapshotFault?.platform));
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
          if (platforms.join() === form.platforms.join() && leaveOut.join() === form.leaveOut.join()) {
            void model.readEnvironment();
          } else {
            model.edit({ platforms, leaveOut });
          }
        }}
      >
        <label className="jp-CondaBuild-field">
          <span>{trans.__('Platform')}</span>
          <Choices chosen={platforms} own="" choose={setPlatforms} />
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
  const own = ownPlatform(snapshot);
  return (
    <label className="jp-CondaBuild-field">
      <span>{trans.__('Platform')}</span>
      <Choices
        chosen={platformsOf(snapshot, form)}
        own={own}
        choose={platforms => model.edit({ platforms: platforms.join() === own ? [] : platforms })}
      />
    </label>
  );
}

function Choices(props: { chosen: readonly string[]; own: string; choose: (platforms: readonly string[]) => void }): JSX.Element {
  const { trans } = useSurroundings();
  const { chosen, own } = props;
  const values = new Map([[own], ...CHOICES, chosen].filter(names => names.join()).map(names => [names.join(), names]));
  const text = (names: readonly string[]): string => {
    if (names.length === 2) {
      return trans.__('%1 and %2 (one name for both)', ...names);
    }
    return names.join() === own ? trans.__('%1: the environment’s', own) : names.join(', ');
  };
  return (
    <select value={chosen.join()} onChange={event => props.choose(values.get(event.target.value) ?? [])}>
      {[...values].map(([value, names]) => (
        <option key={value} value={value} disabled={!names.every(name => name.startsWith('linux-'))}>
          {text(names)}
        </option>
      ))}
    </select>
  );
}

/** What becomes of each package on each platform. The first table has what a person may decide for all. */
export function Substitutions(props: { state: PanelState; snapshot: Snapshot }): JSX.Element {
  return (
    <>
      {tablesOf(props.snapshot).map((table, number) => (
        <Substitution key={table.platform} table={table}>
          {number === 0 && <Decisions state={props.state} />}
        </Substitution>
      ))}
    </>
  );
}

/** The counts first, then the packages that need a look, then all others if asked for. */
function Substitution(props: { table: Table; children: ReactNode }): JSX.Element {
  const { trans } = useSurroundings();
  const { table } = props;
  const [open, setOpen] = useState(false);
  const id = useId();
  const label = trans.__('From %1 to %2', table.from, table.platform);
  const rows = toLookAt(table);
  return (
    <Section title={label}>
      <p>{countsText(trans, table)}</p>
      {rows.length > 0 && <Rows label={trans.__('Packages that need your look')} rows={rows} table={table} />}
      {props.children}
      <Opener open={open} setOpen={setOpen} controls={id}>
        {open ? trans.__('Hide all packages') : trans.__('Show all packages')}
      </Opener>
      <div id={id} hidden={!open}>
        {open && <Rows label={trans.__('All packages')} rows={table.packages} table={table} />}
      </div>
    </Section>
  );
}

function Decisions(props: { state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { form } = props.state;
  return (
    <>
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
    </>
  );
}

function Rows(props: { label: string; rows: readonly SubstitutedPackage[]; table: Table }): JSX.Element {
  const { trans } = useSurroundings();
  const label = `${props.label}: ${props.table.platform}`;
  return (
    <div className="jp-CondaBuild-table jp-mod-reasons" tabIndex={0} role="region" aria-label={label}>
      <table aria-label={label}>
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
                <td>{row.why ? reasonText(trans, row.why) : levelWord(trans, row.level)}</td>
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
