/** The actions of an ended build, in its own view and in the history. */

import React from 'react';

import type { Build } from '../api/contract';
import { rebasedReference } from '../model/destination';
import { images, previousImage, type PanelState } from '../model/state';
import { useSurroundings } from './context';
import { Link } from './parts';

export function Actions(props: { build: Build; state: PanelState }): JSX.Element {
  const { ask, confirm, model, trans } = useSurroundings();
  const { build, state } = props;
  const others = images(state.builds).filter(other => other.id !== build.id);
  // The previous image of the same environment is compared first; the view has all others.
  const before = build.result && (previousImage(state.builds, build.request.prefix, build.created) ?? others[0]);
  const image = build.result !== null && build.command !== 'verify';
  const isGone = ({ builds }: PanelState): boolean => !builds.some(({ id }) => id === build.id);
  const rebase = async (): Promise<void> => {
    const [base, target] =
      (await ask({
        title: trans.__('The same layers on another base'),
        fields: [
          { label: trans.__('Base image'), text: build.request.base },
          { label: trans.__('Name of the new image (the same name replaces the image)'), text: rebasedReference(build, state.builds) }
        ],
        yes: trans.__('Change the base'),
        isVoid: isGone
      })) ?? [];
    if (base && target) {
      await model.rebase(build, base, target);
    }
  };
  const forget = async (): Promise<void> => {
    const sure = await confirm({
      title: trans.__('Delete this build from the history?'),
      text: trans.__('Its log goes with it. The image stays where it is.'),
      yes: trans.__('Delete'),
      no: trans.__('Keep'),
      isVoid: isGone
    });
    if (sure) {
      await model.forget(build.id);
    }
  };
  return (
    <>
      {build.error?.code !== 'environment_changed' && (
        <Link onClick={() => void model.retry(build)}>
          {image ? trans.__('Rebuild') : build.result ? trans.__('Verify again') : trans.__('Retry')}
        </Link>
      )}
      {before && build.command !== 'verify' && <Link onClick={() => void model.compare(before, build)}>{trans.__('Compare')}</Link>}
      {image && build.request.push && build.request.engine === 'layers' && (
        <Link onClick={() => void rebase()} title={trans.__('No layer is built again')}>
          {trans.__('New base…')}
        </Link>
      )}
      {image && (
        <Link
          onClick={() => void model.verify(build)}
          title={trans.__('Makes the image again from the lock file inside, and compares')}
        >
          {trans.__('Verify')}
        </Link>
      )}
      <Link onClick={() => void forget()}>{trans.__('Delete')}</Link>
    </>
  );
}
