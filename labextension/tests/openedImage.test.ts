import { beforeEach, describe, expect, it, vi } from 'vitest';

import { PanelModel } from '../src/model/panel';
import { wayOf, type OpenedImage } from '../src/model/openedImage';
import { suggestedFolder } from '../src/model/recreations';
import { seenImageOf } from '../src/model/request';
import { FakeKernels } from './fakeKernels';
import { FakeServer } from './fakeServer';
import { settled } from './held';
import { aBuild, aKernel, anInspection, DIGEST, RESULT } from './things';

const NAME = 'registry.lab.org/team/env:v1';
const PINNED = `registry.lab.org/team/env@${DIGEST}`;
const MOVED = { code: 'usage', message: `${NAME} is not the image that you have seen`, hint: '' };

let server: FakeServer;
let kernels: FakeKernels;
let model: PanelModel;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  kernels = new FakeKernels();
  model = new PanelModel(server, kernels);
  return () => {
    model.dispose();
    vi.useRealTimers();
  };
});

function opened(): OpenedImage {
  const { opened } = model.state;
  if (!opened) {
    throw new Error('No image is open');
  }
  return opened;
}

async function read(): Promise<void> {
  model.openImage();
  await model.images.read(` ${NAME}\n`);
  await settled();
}

describe('an image that is opened by its name', () => {
  it('is described, and compared with the environment of the notebook by its digest', async () => {
    model.choose({ source: { kernel_id: 'a' }, title: 'analysis.ipynb' }, false);
    server.differences.set(`a ${PINNED}`, [{ kind: 'added', manager: 'conda', name: 'numpy', before: '', after: '2.0' }]);
    await read();
    expect(server.inspected).toEqual([NAME]);
    expect(opened().image?.python).toBe('3.12.4');
    expect(opened().differences).toMatchObject({ title: 'analysis.ipynb', changes: [{ name: 'numpy' }], fault: null });
    expect(server.installed).toEqual([]);
    expect(server.running).toEqual([]);
  });

  it('leaves the environment and the builds as they are', async () => {
    model.show('0123456789abcdef');
    await read();
    expect(model.state.shown).toBeNull();
    model.images.close();
    expect(model.state.opened).toBeNull();
  });

  it('says why it cannot be read, and can be tried again', async () => {
    server.refuses = { code: 'registry_unreachable', message: 'no answer', hint: '' };
    await read();
    expect(opened()).toMatchObject({ fault: { code: 'registry_unreachable' }, image: null, reading: false });
    server.refuses = null;
    await model.images.read(NAME);
    expect(opened()).toMatchObject({ fault: null, image: { digest: DIGEST } });
  });

  it('forgets a late answer for another name', async () => {
    model.openImage();
    const first = model.images.read('a/b:1');
    await model.images.read(NAME);
    await first;
    expect(opened().image?.reference).toBe(NAME);
  });

  it('becomes the base of the own image', async () => {
    server.image = anInspection({ environment: '' });
    await read();
    model.buildOn(NAME);
    expect(model.state).toMatchObject({ opened: null, form: { base: NAME } });
  });

  it('is added to the launcher by the digest that the person has seen, and removed', async () => {
    await read();
    await model.images.install();
    expect(server.installed).toEqual([{ reference: NAME, seen: DIGEST }]);
    expect(kernels.done).toEqual(['refresh']);
    expect(opened().kernels).toEqual([aKernel()]);
    await model.images.removeKernel(aKernel().name);
    expect(opened().kernels).toEqual([]);
    expect(kernels.done).toEqual(['refresh', 'refresh']);
  });

  it('runs JupyterLab, whose address is asked for until it is known, and stops', async () => {
    await read();
    await model.images.runLab('notes');
    expect(opened().run?.state).toBe('starting');
    server.running = server.running.map(run => ({ ...run, state: 'running', address: 'http://127.0.0.1:1/lab' }));
    await vi.advanceTimersByTimeAsync(2000);
    expect(opened().run?.address).toBe('http://127.0.0.1:1/lab');
    expect(vi.getTimerCount()).toBe(0);
    await model.images.stopLab();
    expect([opened().run, server.running]).toEqual([null, []]);
  });

  it('runs with the engine, unless the person chooses the sandbox', async () => {
    server.image = anInspection({ ways: ['engine', 'bubblewrap'] });
    await read();
    expect(wayOf(opened())).toBe('engine');
    await model.images.install();
    model.images.runWithoutEngine(true);
    expect(wayOf(opened())).toBe('bubblewrap');
    await model.images.runNotebook();
    model.images.runWithoutEngine(false);
    await model.images.install();
    const seen = { reference: NAME, seen: DIGEST };
    expect(server.installed).toEqual([seen, { ...seen, without_engine: true }, seen]);
    model.images.runWithoutEngine(true);
    await read();
    expect(wayOf(opened())).toBe('engine');
  });

  it('runs in the sandbox where no engine answers, and nowhere where there is neither', async () => {
    server.image = anInspection({ ways: ['apptainer'] });
    await read();
    expect(wayOf(opened())).toBe('apptainer');
    await model.images.runLab('notes');
    expect(server.ran).toEqual([{ reference: NAME, seen: DIGEST, without_engine: true, folder: 'notes' }]);
    server.image = anInspection({ ways: [] });
    await read();
    expect(wayOf(opened())).toBeNull();
    await model.images.install();
    expect(server.installed).toEqual([]);
  });

  it('says why JupyterLab did not start', async () => {
    await read();
    await model.images.runLab('.');
    server.running = server.running.map(run => ({ ...run, state: 'ended', fault: MOVED }));
    await vi.advanceTimersByTimeAsync(2000);
    expect(opened()).toMatchObject({ run: null, runFault: MOVED });
  });
});

describe('a conda environment of the image', () => {
  const ACTIVATE = 'conda activate /home/ada/envs/env-v1';

  it('has a folder of its name', () => {
    expect([NAME, 'a/b@sha256:0', 'oci-archive:saved/my env.tar', '..'].map(suggestedFolder)).toEqual([
      'envs/env-v1',
      'envs/b',
      'envs/my-env',
      'envs/environment'
    ]);
  });

  it('is made of what the person has seen, without any way to run the image, and says how it is used', async () => {
    server.image = anInspection({ ways: [] });
    await read();
    await model.images.recreate(' envs/mine ');
    expect(server.asked).toEqual([{ reference: NAME, seen: DIGEST, target: 'envs/mine' }]);
    server.made = server.made.map(made => ({ ...made, step: 'fetch', complete: 3, total: 40 }));
    await vi.advanceTimersByTimeAsync(2000);
    expect(opened().recreation).toMatchObject({ step: 'fetch', complete: 3 });
    server.made = server.made.map(made => ({ ...made, state: 'finished', activate: ACTIVATE }));
    await vi.advanceTimersByTimeAsync(2000);
    expect(opened().recreation?.activate).toBe(ACTIVATE);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is found again while it is being made, and can be cancelled', async () => {
    await read();
    await model.images.recreate('envs/mine');
    model.images.close();
    expect(vi.getTimerCount()).toBe(0);
    await read();
    expect(opened().recreation?.state).toBe('running');
    await model.images.cancelRecreation();
    expect(opened()).toMatchObject({ recreation: null, recreationFault: null });
    expect([server.made, vi.getTimerCount()]).toEqual([[], 0]);
  });

  it('that was ready before it could be cancelled is there', async () => {
    await read();
    await model.images.recreate('envs/mine');
    server.made = server.made.map(made => ({ ...made, state: 'finished', activate: ACTIVATE }));
    await model.images.cancelRecreation();
    expect(opened().recreation?.activate).toBe(ACTIVATE);
  });

  it('says why it was not made', async () => {
    await read();
    server.refuses = MOVED;
    await model.images.recreate('envs/mine');
    expect(opened()).toMatchObject({ recreation: null, recreationFault: MOVED });
    server.refuses = null;
    await model.images.recreate('envs/mine');
    expect(opened().recreationFault).toBeNull();
    server.made = server.made.map(made => ({ ...made, state: 'failed', fault: MOVED }));
    await vi.advanceTimersByTimeAsync(2000);
    expect(opened()).toMatchObject({ recreation: null, recreationFault: MOVED });
  });
});

describe('the current notebook', () => {
  it('gets the kernel of an image, and its own kernel back', async () => {
    await read();
    await model.images.runNotebook();
    expect(kernels.done).toEqual(['refresh', `use ${aKernel().name}`]);
    expect(model.trials.previous).toEqual({ name: 'python3', title: 'Python 3' });
    await model.trials.back();
    expect(kernels.kernel?.name).toBe('python3');
    expect(model.trials.previous).toBeNull();
  });

  it('goes back to its own kernel after two images', async () => {
    await read();
    await model.images.runNotebook();
    await model.images.runNotebook();
    expect(model.trials.previous?.name).toBe('python3');
  });

  it('has nothing to go back to after a person has chosen another kernel, or in another notebook', async () => {
    await read();
    await model.images.runNotebook();
    const { kernel } = kernels;
    kernels.kernel = { name: 'other', title: 'Other', path: 'analysis.ipynb' };
    expect(model.trials.previous).toBeNull();
    kernels.kernel = kernel && { ...kernel, path: 'second.ipynb' };
    expect(model.trials.previous).toBeNull();
  });

  it('keeps its kernel if the image has moved, and the reason is displayed', async () => {
    await read();
    server.refuses = MOVED;
    await model.images.runNotebook();
    expect(kernels.done).toEqual([]);
    expect(model.state.trial).toEqual({ reference: NAME, inNotebook: true, fault: MOVED });
    model.openImage();
    expect(model.state.trial).toBeNull();
  });

  it('runs in the image of a build, by the digest of the build where its name has it', async () => {
    await model.trials.runBuilt(seenImageOf(aBuild({ result: RESULT })));
    expect(server.installed).toEqual([{ reference: RESULT.reference, seen: DIGEST }]);
    expect(server.inspected).toEqual([]);
    const loaded = aBuild({ result: RESULT });
    loaded.request = { ...loaded.request, push: false, load: true };
    await model.trials.runBuilt(seenImageOf(loaded));
    expect(server.inspected).toEqual([`docker-daemon:${RESULT.reference}`]);
  });
});
