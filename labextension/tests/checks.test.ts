import { beforeEach, describe, expect, it, vi } from 'vitest';

import type { Build, Check } from '../src/api/contract';
import { checkLines, missingPackages } from '../src/model/checks';
import { settled } from './held';
import { kernel, model, ready, server, setUp } from './setUp';
import { aBuild, aCheck, aStatus, RESULT } from './things';

setUp();

const FAULT = { code: 'engine_unavailable', message: 'no engine answers', hint: '' };
const MISSING = { module: 'cv2', error: 'libGL.so.1: cannot open', library: 'libGL.so.1', debian_package: 'libgl1' };

function engine(fault: typeof FAULT | null): void {
  server.now = { ...aStatus(), probes: [{ subject: 'engine', target: '', works: !fault, ready: !fault, facts: '', fault, seconds: 0, instead: [] } as never] };
}

/** A build of the displayed environment, from its start by a person to its end. */
async function built(change: Partial<Build> = {}): Promise<string> {
  await model.start();
  const { id } = server.known[0] as Build;
  server.end(id, { state: 'finished', result: RESULT, ...change });
  await settled();
  return id;
}

const check = (): Check | undefined => Object.values(model.state.checks)[0];

describe('the check after a build', () => {
  beforeEach(async () => {
    engine(null);
    await ready();
    model.choose({ ...kernel('a'), path: 'notes/a.ipynb' }, false);
  });

  it('imports what the notebook imports that was open at the start of the build', async () => {
    await model.start();
    const { id } = server.known[0] as Build;
    model.choose({ ...kernel('b'), path: 'b.ipynb' }, false);
    server.end(id, { state: 'finished', result: RESULT });
    await settled();
    expect(server.checksAsked).toEqual([{ build: id, notebook: 'notes/a.ipynb' }]);
    expect(check()?.state).toBe('running');
    server.checked = [aCheck({ build: id, state: 'finished', imported: ['cv2'] })];
    await vi.advanceTimersByTimeAsync(1000);
    expect(check()?.imported).toEqual(['cv2']);
  });

  it('is asked for no more once it has ended', async () => {
    const id = await built();
    server.checked = [aCheck({ build: id, state: 'finished' })];
    await vi.advanceTimersByTimeAsync(1000);
    const asks = vi.spyOn(server, 'checks');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asks).not.toHaveBeenCalled();
  });

  it('can be switched off', async () => {
    model.edit({ check: false });
    await built();
    expect(server.checksAsked).toEqual([]);
  });

  it.each([{ state: 'failed' as const, result: null }, { command: 'verify' as const }])('does not follow a build without a new image: %o', async change => {
    await built(change);
    expect(server.checksAsked).toEqual([]);
  });

  it('of a large image is made after a person has confirmed it', async () => {
    const id = await built();
    server.checked = [aCheck({ build: id, state: 'too_large', missing: 6e9 })];
    await vi.advanceTimersByTimeAsync(1000);
    expect(check()?.missing).toBe(6e9);
    await model.checks.start(server.known[0] as Build, true);
    expect(server.checksAsked.at(-1)).toMatchObject({ build: id, download: true });
    expect(check()?.state).toBe('running');
  });

  it('finds a missing library: its package is added to those of the build, which is repeated under the same name', async () => {
    model.edit({ reference: 'registry.lab.org/team/sci:mine' });
    await built({ request: { ...aBuild().request, reference: 'registry.lab.org/team/sci:mine', apt: ['libmagic1'] } });
    const found = aCheck({ state: 'finished', failed: [MISSING, { ...MISSING, module: 'vtk' }, { ...MISSING, debian_package: '' }] });
    await model.addPackages(server.known[0] as Build, missingPackages(found));
    expect(server.started.at(-1)).toMatchObject({ reference: 'registry.lab.org/team/sci:mine', push: true, apt: ['libmagic1', 'libgl1'] });
    expect(model.state.form.selection.apt).toEqual(['libmagic1', 'libgl1']);
  });

  it('can be cancelled, and is gone with its server', async () => {
    await built();
    await model.checks.cancel(check() as Check);
    expect(check()?.state).toBe('cancelled');
    await model.checks.start(server.known[0] as Build);
    server.checked = [];
    await vi.advanceTimersByTimeAsync(1000);
    expect([check()?.state, vi.getTimerCount()]).toEqual(['cancelled', 0]);
  });

  it('that is refused has a reason, and its answer is not replaced by an older one', async () => {
    const late = Promise.resolve([aCheck({ state: 'too_large' })]);
    vi.spyOn(server, 'checks').mockReturnValueOnce(late);
    const loading = model.checks.load();
    await model.checks.start(aBuild());
    await loading;
    expect(check()?.state).toBe('running');
    server.refuses = { code: 'queue_full', message: 'too many', hint: '' };
    await model.checks.start(aBuild());
    expect(check()).toMatchObject({ state: 'failed', fault: { code: 'queue_full' } });
  });
});

describe('the engine of the server', () => {
  it('does not answer: then nothing is checked', async () => {
    engine(FAULT);
    await ready();
    await built();
    expect(server.checksAsked).toEqual([]);
  });

  it('is not known at the end of a build: the check waits until it is', async () => {
    await ready();
    const id = await built();
    expect(server.checksAsked).toEqual([]);
    engine(null);
    await model.probe();
    expect(server.checksAsked).toEqual([{ build: id }]);
  });
});

describe('the log', () => {
  it('has the modules, and the error of each that cannot be imported', () => {
    const lines = checkLines(aCheck({ state: 'finished', imported: ['json', 'tqdm'], failed: [MISSING] }));
    expect(lines.map(({ kind, label, text }) => [kind, label, text])).toEqual([
      ['log', 'check', 'json tqdm'],
      ['warning', 'check', 'cv2: libGL.so.1: cannot open']
    ]);
    expect(checkLines(undefined)).toEqual([]);
  });
});
