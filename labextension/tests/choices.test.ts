import { beforeEach, describe, expect, it, vi } from 'vitest';

import { choicesOf } from '../src/model/choices';
import { PanelModel } from '../src/model/panel';
import { FakeServer } from './fakeServer';
import { settled } from './held';

const FAULT = { code: 'not_a_conda_kernel', message: 'The kernel runs in a venv.', hint: '' };

const KERNELS = {
  kernels: [{ id: 'k1', name: 'sci', display_name: 'Python (sci)', prefix: '/opt/sci', environment: 'sci', fault: null }],
  kernelspecs: [
    { name: 'sci', display_name: 'Python (sci)', prefix: '/opt/sci', environment: 'sci', fault: null },
    { name: 'nlp', display_name: 'Python (nlp)', prefix: '/opt/nlp', environment: 'nlp', fault: null },
    { name: 'venv', display_name: 'Python (venv)', prefix: null, environment: null, fault: FAULT }
  ]
};

const NOTEBOOK = { source: { kernel_id: 'k1' }, title: 'analysis.ipynb' };
const OTHER = { source: { kernel_id: 'k2' }, title: 'other.ipynb' };

it('each environment that can be built is one choice: of a running kernel if there is one', () => {
  expect(choicesOf(KERNELS)).toEqual([
    { prefix: '/opt/nlp', name: 'nlp', title: 'Python (nlp)', source: { kernel_name: 'nlp' }, runs: false },
    { prefix: '/opt/sci', name: 'sci', title: 'Python (sci)', source: { kernel_id: 'k1' }, runs: true }
  ]);
});

describe('an environment that a person has chosen', () => {
  let server: FakeServer;
  let model: PanelModel;

  beforeEach(async () => {
    vi.useFakeTimers();
    server = new FakeServer();
    server.kernels = KERNELS;
    model = new PanelModel(server);
    await model.loadChoices();
    return () => {
      model.dispose();
      vi.useRealTimers();
    };
  });

  const nlp = (): NonNullable<typeof model.state.choices>[number] => model.state.choices![0]!;

  it('is read and displayed, with and without a notebook', () => {
    model.choose(null, true);
    model.pick(nlp());
    expect(model.state.subject).toEqual({ source: { kernel_name: 'nlp' }, title: 'Python (nlp)' });
    expect(server.snapshots.map(({ request }) => request)).toEqual([{ kernel_name: 'nlp' }]);
  });

  it('stays while the notebook gets another title, and goes with another notebook or kernel', () => {
    model.choose(NOTEBOOK, true);
    model.pick(nlp());
    model.choose({ ...NOTEBOOK, title: 'renamed.ipynb' }, true);
    expect(model.state).toMatchObject({ chosen: true, subject: { title: 'Python (nlp)' } });
    model.choose(OTHER, true);
    expect(model.state).toMatchObject({ chosen: false, subject: OTHER });
  });

  it('goes when the person asks for the environment of the notebook', () => {
    model.choose(NOTEBOOK, true);
    model.pick(nlp());
    model.pick(null);
    expect(model.state).toMatchObject({ chosen: false, subject: NOTEBOOK });
    model.pick(nlp());
    model.choose(NOTEBOOK, true, true);
    expect(model.state).toMatchObject({ chosen: false, subject: NOTEBOOK });
  });

  it('is not in a list that the server does not give, and the list is asked for again', async () => {
    server.refuses = { code: 'no_answer', message: 'No answer.', hint: '' };
    await model.loadChoices();
    expect(model.state.choicesFault?.code).toBe('no_answer');
    server.refuses = null;
    await model.loadChoices();
    await settled();
    expect(model.state.choicesFault).toBeNull();
  });
});
