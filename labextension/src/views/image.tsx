/** An image that a person opens by its name: whose it is, what is in it, and how it differs from the notebook's environment. */

import { closeIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useId, useRef, useState } from 'react';

import type { Fault, Inspection } from '../api/contract';
import { registryOf } from '../model/destination';
import type { OpenedImage } from '../model/openedImage';
import type { PanelState } from '../model/state';
import { shortDigest, sizeText } from '../model/units';
import { visible } from '../model/visible';
import { ChangeRows } from './changes';
import { useSurroundings } from './context';
import { ImageActions } from './imageActions';
import { Licenses } from './licenses';
import { Opener } from './opener';
import { CopyButton, Link, Notice, Row, Section } from './parts';
import { SignInAfter } from './signIn';

export function ImageView(props: { opened: OpenedImage; state: PanelState }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { opened, state } = props;
  const { differences, fault, image, licenses, reading } = opened;
  return (
    <>
      <div>
        <Link onClick={() => model.images.close()}>‹ {trans.__('Environment and history')}</Link>
      </div>
      <h2 className="jp-CondaBuild-title" tabIndex={-1}>
        {trans.__('Open an image')}
      </h2>
      <NameForm opened={opened} />
      {fault && (
        <Notice kind="error" fault={fault}>
          <SignInAfter fault={fault} registry={registryOf(opened.text, state.status?.settings.registry ?? '')} />
        </Notice>
      )}
      {reading && (
        <p className="jp-CondaBuild-quiet" role="status">
          {trans.__('Reading the image…')}
        </p>
      )}
      {image && (
        <>
          <Whose image={image} />
          <ImageActions image={image} opened={opened} state={state} />
          <Facts image={image} />
          {differences && (
            <Section title={trans.__('Compared with your environment')}>
              <p className="jp-CondaBuild-quiet">{trans.__('From %1 to the image:', visible(differences.title))}</p>
              <ChangeRows changes={differences.changes} fault={differences.fault} />
            </Section>
          )}
          <Licenses licenses={licenses} />
        </>
      )}
      {!image && !reading && <InstalledKernels opened={opened} />}
    </>
  );
}

function NameForm(props: { opened: OpenedImage }): JSX.Element {
  const { model, trans } = useSurroundings();
  const { reading, text: read } = props.opened;
  // The text is here and not in the model, whose state is drawn a frame later: the caret would jump.
  const [text, setText] = useState(read);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => setText(read), [read]);
  useEffect(() => field.current?.focus(), []);
  return (
    <form
      className="jp-CondaBuild-options"
      onSubmit={event => {
        event.preventDefault();
        void model.images.read(text);
      }}
    >
      <label className="jp-CondaBuild-field">
        <span>{trans.__('The name that somebody gave you')}</span>
        <input
          ref={field}
          value={text}
          placeholder="registry.lab.org/team/env:v1"
          spellCheck={false}
          onChange={event => setText(event.target.value)}
        />
      </label>
      <button type="submit" className="jp-mod-styled" aria-disabled={reading} disabled={!text.trim()}>
        {trans.__('Show what is inside')}
      </button>
    </form>
  );
}

/** Who built the image. It stands above everything that runs a program of the image. */
function Whose(props: { image: Inspection }): JSX.Element {
  const { trans } = useSurroundings();
  const { image } = props;
  const fault = whoseFault(trans, image);
  const isTrusted = image.signature === 'verified' || image.voucher !== '';
  return <Notice kind={isTrusted ? 'info' : 'warning'} fault={fault} />;
}

function whoseFault(trans: TranslationBundle, { signature, signer, voucher }: Inspection): Fault {
  const own = voucher === 'this machine';
  const message = {
    verified: trans.__('Built by %1, signature verified', visible(signer)),
    untrusted: trans.__('Signed by a signer who is not trusted'),
    unsigned: trans.__('Unsigned: nobody says who built the image'),
    unknown: trans.__('The registry does not say whether the image is signed')
  }[signature];
  const hint =
    signature === 'verified' || own
      ? ''
      : voucher
        ? trans.__('You trust the repository %1.', visible(voucher))
        : trans.__('A program of the image can read and change the folder that it gets. Run it only if you trust the person who gave you the name.');
  return { code: '', message: own && signature !== 'verified' ? trans.__('This machine has pushed the image') : message, hint };
}

function Facts(props: { image: Inspection }): JSX.Element {
  const { trans } = useSurroundings();
  const [open, setOpen] = useState(false);
  const id = useId();
  const { image } = props;
  const { missing, packages, size } = image;
  const here = missing === null ? '' : missing === 0 ? trans.__('all here') : trans.__('%1 missing here', sizeText(missing));
  const platforms = Object.keys(image.images);
  return (
    <Section title={trans.__('What is inside')}>
      {!image.environment && <p className="jp-CondaBuild-quiet">{trans.__('Another tool made the image. Its packages are not known.')}</p>}
      {image.python && <Row name="Python" value={image.python} />}
      {image.requested.length > 0 && <Row name={trans.__('Requested')} value={image.requested.join(', ')} title={image.requested.join('\n')} />}
      <Row name={trans.__('Size')} value={[sizeText(size), here].filter(Boolean).join(' · ')} />
      <Row name={trans.__('Platform')} value={platforms.length > 0 ? platforms.join(', ') : image.platform} />
      {image.base && <Row name={trans.__('Base')} value={image.base} title={image.base} />}
      <Row name={trans.__('Starts')} value={image.command.join(' ') || trans.__('nothing by itself')} />
      {image.wants_gpu && <Row name="GPU" value={trans.__('uses NVIDIA GPUs')} />}
      <div className="jp-CondaBuild-row" title={image.digest}>
        <span>{trans.__('Digest')}</span>
        <span>
          <span className="jp-CondaBuild-mono">{shortDigest(image.digest)}</span>
          <CopyButton text={image.digest} label={trans.__('Copy the digest')} />
        </span>
      </div>
      {image.unproved.length > 0 && (
        <p className="jp-CondaBuild-quiet">
          {trans.__('Cannot be made again from its packages: %1', image.unproved.map(visible).join(', '))}
        </p>
      )}
      {packages.length > 0 && (
        <p>
          <Opener open={open} setOpen={setOpen} controls={id}>
            {trans._n('%1 package', '%1 packages', packages.length)} {open ? '▴' : '▾'}
          </Opener>
        </p>
      )}
      <div id={id}>
        {open && (
          <div className="jp-CondaBuild-licenses" tabIndex={0} role="region" aria-label={trans.__('Packages of the image')}>
            {packages.map(each => (
              <Row key={`${each.manager} ${each.name}`} name={each.name} value={each.manager === 'pip' ? `${each.version} (pip)` : each.version} />
            ))}
          </div>
        )}
      </div>
    </Section>
  );
}

/** The kernels of images in the launcher, which a person can open or remove. */
function InstalledKernels(props: { opened: OpenedImage }): JSX.Element | null {
  const { model, trans } = useSurroundings();
  const { kernels } = props.opened;
  if (!kernels?.length) {
    return null;
  }
  return (
    <Section title={trans.__('Kernels of images in the launcher')}>
      {kernels.map(kernel => (
        <div key={kernel.name}>
          <div className="jp-CondaBuild-row">
            <Link onClick={() => void model.images.read(kernel.reference)} title={kernel.reference}>
              {visible(kernel.title)}
            </Link>
            <button
              type="button"
              className="jp-CondaBuild-icon"
              title={trans.__('Remove %1 from the launcher', visible(kernel.title))}
              aria-label={trans.__('Remove %1 from the launcher', visible(kernel.title))}
              onClick={() => void model.images.removeKernel(kernel.name)}
            >
              <closeIcon.react tag="span" height="14px" width="14px" />
            </button>
          </div>
          {kernel.news && <p className="jp-CondaBuild-quiet">{visible(kernel.news)}</p>}
        </div>
      ))}
    </Section>
  );
}
