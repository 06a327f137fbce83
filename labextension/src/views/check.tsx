/** Whether the modules of an image can be imported: that it is being tried, the result, and what is missing. */

import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Build, Check } from '../api/contract';
import { isCheckable, missingPackages } from '../model/checks';
import type { PanelState } from '../model/state';
import { partTexts, sizeText } from '../model/units';
import { visible } from '../model/visible';
import { useSurroundings } from './context';
import { Link } from './parts';
import { faultTexts } from './words';

export function CheckLine(props: { build: Build; state: PanelState }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { build, state } = props;
  const check = state.checks[build.id];
  const start = (text: string, download = false): JSX.Element => (
    <Link onClick={() => void model.checks.start(build, download)}>{text}</Link>
  );
  // Without an engine there is nothing to say.
  if (!isCheckable(state, build) || check?.fault?.code === 'engine_unavailable') {
    return null;
  }
  switch (check?.state) {
    case undefined:
    case 'cancelled':
      return <div className="jp-CondaBuild-links">{start(trans.__('Check the image'))}</div>;
    case 'running':
      return (
        <div className="jp-CondaBuild-row jp-CondaBuild-quiet">
          <span role="status">{doing(trans, check)}</span>
          <Link onClick={() => void model.checks.cancel(check)} label={trans.__('Cancel the check')}>
            {trans.__('Cancel')}
          </Link>
        </div>
      );
    case 'too_large':
      return (
        <p className="jp-CondaBuild-quiet" role="status">
          {trans.__('Not checked: the engine lacks %1 of the image.', sizeText(check.missing))}{' '}
          {start(trans.__('Load it and check'), true)}
        </p>
      );
    case 'failed':
      return (
        <p className="jp-CondaBuild-quiet" role="status">
          {trans.__('Not checked: %1', check.fault ? faultText(trans, check.fault) : '')} {start(trans.__('Try again'))}
        </p>
      );
    case 'finished':
      return check.failed.length ? <Failures build={build} check={check} state={state} /> : <Imported check={check} />;
  }
}

function doing(trans: TranslationBundle, { complete, notebook, step, total }: Check): string {
  if (step === 'pull' || step === 'load') {
    return trans.__('Checking: loading %1 of %2 into the engine…', ...partTexts(complete, total));
  }
  return notebook ? trans.__('Checking: importing the modules of %1…', visible(notebook)) : trans.__('Checking: importing the modules…');
}

function faultText(trans: TranslationBundle, fault: NonNullable<Check['fault']>): string {
  const { details, title } = faultTexts(trans, fault);
  return [title, details].filter(Boolean).join(' ');
}

function Imported(props: { check: Check }): JSX.Element {
  const { trans } = useSurroundings();
  const { imported, notebook } = props.check;
  return (
    <p className="jp-CondaBuild-quiet" role="status" title={imported.map(visible).join('\n')}>
      {'✓ '}
      {trans._n('Checked: %1 module can be imported', 'Checked: %1 modules can be imported', imported.length)}
      {notebook && ` · ${visible(notebook)}`}
    </p>
  );
}

/** The modules that cannot be imported, each with its error, or with the library that the image lacks. */
function Failures(props: { build: Build; check: Check; state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { build, check, state } = props;
  const { failed, imported } = check;
  const packages = missingPackages(check);
  // Another environment cannot be built from here.
  const isDisplayed = build.command === 'build' && build.request.prefix !== '' && build.request.prefix === state.snapshot?.prefix;
  return (
    <div className="jp-CondaBuild-notice jp-mod-warning" role="status">
      <p>
        <strong>
          {trans._n('%1 module cannot be imported in the image', '%1 modules cannot be imported in the image', failed.length)}
        </strong>
      </p>
      <ul className="jp-CondaBuild-failures">
        {failed.map(({ debian_package, error, library, module }) => (
          <li key={module} title={visible(error)}>
            <span className="jp-CondaBuild-mono">{visible(module)}</span>
            {': '}
            {!library
              ? visible(error)
              : debian_package
                ? trans.__('%1 is missing, which Debian has in %2', visible(library), debian_package)
                : trans.__('%1 of the system is missing', visible(library))}
          </li>
        ))}
      </ul>
      {imported.length > 0 && (
        <p className="jp-CondaBuild-quiet">
          {trans._n('%1 other module can be imported.', '%1 other modules can be imported.', imported.length)}
        </p>
      )}
      {packages.length > 0 && isDisplayed && (
        <button
          type="button"
          className="jp-CondaBuild-cancel jp-mod-styled"
          aria-disabled={state.starting}
          onClick={() => !state.starting && void model.addPackages(build, packages)}
        >
          {trans.__('Add %1 and build again', packages.join(', '))}
        </button>
      )}
    </div>
  );
}
