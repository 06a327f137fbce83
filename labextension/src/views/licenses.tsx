/** The licences of the packages: the number in each class, the packages to look at, and the list. */

import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import type { Licenses as Found } from '../api/contract';
import { byClass, needsALook, type LicenseClass } from '../model/licenses';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Opener } from './opener';
import { Notice, Section } from './parts';

/** The number of names in a notice. */
const NAMED = 4;

export function Licenses(props: { licenses: Found | null }): JSX.Element | null {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
  const { licenses } = props;
  if (!licenses?.packages.length) {
    return null;
  }
  const groups = byClass(licenses);
  return (
    <Section title={trans.__('Licences')}>
      <p className="jp-CondaBuild-quiet">
        {groups.map(([name, packages]) => `${packages.length} ${classWord(trans, name)}`).join(' · ')}{' '}
        <Opener open={open} setOpen={setOpen} controls={id}>
          {open ? trans.__('Hide the list') : trans.__('Show the list')}
        </Opener>
      </p>
      {groups
        .filter(([name]) => needsALook(name))
        .map(([name, packages]) => (
          <Notice
            key={name}
            kind="warning"
            fault={{
              code: '',
              message: `${lookText(trans, name, packages.length)}: ${names(trans, packages.map(each => each.name))}`,
              hint: ''
            }}
          />
        ))}
      {licenses.commercial.map(channel => (
        <Notice
          key={channel.channel}
          kind="warning"
          fault={{
            code: '',
            message: `${trans._n(
              '%1 package is under the terms of %2, which ask some organizations to pay',
              '%1 packages are under the terms of %2, which ask some organizations to pay',
              channel.packages.length,
              channel.terms
            )}: ${names(trans, channel.packages)}`,
            hint: channel.url
          }}
        />
      ))}
      <div id={id}>
        {open && (
          <div className="jp-CondaBuild-licenses" tabIndex={0} role="region" aria-label={trans.__('Licences of all packages')}>
            {groups.map(([name, packages]) => (
              <React.Fragment key={name}>
                <h3>{classWord(trans, name)}</h3>
                <ul>
                  {packages.map(each => (
                    <li key={`${each.manager} ${each.name}`}>
                      <span>{visible(each.name)}</span> <span className="jp-CondaBuild-quiet">{visible(each.license || '–')}</span>
                    </li>
                  ))}
                </ul>
              </React.Fragment>
            ))}
          </div>
        )}
      </div>
    </Section>
  );
}

function classWord(trans: TranslationBundle, name: LicenseClass): string {
  switch (name) {
    case 'permissive':
      return trans.__('permissive');
    case 'weak':
      return trans.__('weak copyleft');
    case 'copyleft':
      return trans.__('copyleft');
    case 'other':
      return trans.__('other');
    case 'restricted':
      return trans.__('restricted');
    case 'unknown':
      return trans.__('without a licence');
  }
}

function lookText(trans: TranslationBundle, name: LicenseClass, count: number): string {
  return name === 'unknown'
    ? trans._n('%1 package states no licence', '%1 packages state no licence', count)
    : trans._n('%1 package may not be for every use', '%1 packages may not be for every use', count);
}

function names(trans: TranslationBundle, all: readonly string[]): string {
  const rest = all.length - NAMED;
  return all.slice(0, NAMED).join(', ') + (rest > 0 ? ` ${trans.__('and %1 more', rest)}` : '');
}
