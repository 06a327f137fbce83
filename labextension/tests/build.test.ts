import { describe, expect, it } from 'vitest';

import type { BuildEvent } from '../src/api/contract';
import { NO_EVENTS, withEvents } from '../src/model/build';
import { steps, whole } from '../src/model/steps';
import { LITTLE_BUILD, log, numbered } from './events';

const PUSH = { push: true, load: false, archive: '', lockfile: '' };

describe('the events of a build', () => {
  it('give phases, layers, warnings, lines and an end', () => {
    const state = withEvents(NO_EVENTS, LITTLE_BUILD);
    expect(state.seq).toBe(12);
    expect(state.phases.snapshot).toMatchObject({ state: 'done', seconds: 0.5 });
    expect(state.layers['b']?.states).toEqual(['built', 'pushed']);
    expect(Object.keys(state.layers)).toEqual(['a', 'b']);
    expect(state.warnings).toEqual([{ code: 'editable', message: 'mylib is editable', hint: 'Install it.', group: 'lost', why: '' }]);
    expect(state.lines.slice().map(line => line.label)).toEqual([
      'snapshot',
      'warning',
      'reused-remote',
      'built',
      'pushed',
      '',
      'finished'
    ]);
    expect(state.end).toHaveProperty('finished');
  });

  it('give the same state in one batch, one by one, and with a reconnect at any event', () => {
    const atOnce = withEvents(NO_EVENTS, LITTLE_BUILD);
    const each = LITTLE_BUILD.reduce((state, event) => withEvents(state, [event]), NO_EVENTS);
    expect(each).toEqual(atOnce);
    for (let cut = 0; cut < LITTLE_BUILD.length; cut++) {
      const first = withEvents(NO_EVENTS, LITTLE_BUILD.slice(0, cut));
      expect(withEvents(first, LITTLE_BUILD.slice(first.seq))).toEqual(atOnce);
    }
  });

  it('change nothing when they are repeated', () => {
    const state = withEvents(NO_EVENTS, LITTLE_BUILD);
    expect(withEvents(state, LITTLE_BUILD)).toBe(state);
    expect(withEvents(state, LITTLE_BUILD.slice(3, 5))).toBe(state);
    const twice = LITTLE_BUILD.flatMap(event => [event, event]);
    expect(withEvents(NO_EVENTS, twice)).toEqual(state);
  });

  it('are counted if they are missing', () => {
    const state = withEvents(NO_EVENTS, [...LITTLE_BUILD.slice(0, 2), ...LITTLE_BUILD.slice(5)]);
    expect(state.missed).toBe(3);
    expect(state.seq).toBe(12);
  });

  it('of an unknown type only advance the number', () => {
    const strange = { type: 'attestation', seq: 1, time: 1, text: '<b>' } as unknown as BuildEvent;
    expect(withEvents(NO_EVENTS, [strange])).toEqual({ ...NO_EVENTS, seq: 1 });
  });

  it('do not change the earlier state', () => {
    const before = withEvents(NO_EVENTS, LITTLE_BUILD.slice(0, 8));
    const [{ lines, ...copy }, known] = [structuredClone(before), before.lines.slice()];
    const one = withEvents(before, LITTLE_BUILD.slice(8));
    const other = withEvents(before, LITTLE_BUILD.slice(8, 9));
    expect({ ...before, lines }).toEqual({ ...copy, lines });
    expect(before.lines.slice()).toEqual(known);
    // Two continuations of one state do not change each other.
    expect(one.lines.slice(-1)[0]?.label).toBe('finished');
    expect(other.lines.slice(-1)[0]?.label).toBe('built');
    expect(NO_EVENTS.lines).toHaveLength(0);
  });

  it('can be many, one by one: none takes more time than earlier events', () => {
    const many = numbered(Array.from({ length: 200_000 }, (_, n) => log(`line ${n}`)));
    let state = NO_EVENTS;
    // Processor time is measured, because it hardly depends on other work of the machine.
    const cost = (from: number, to: number): number => {
      const begun = process.cpuUsage();
      for (const event of many.slice(from, to)) {
        state = withEvents(state, [event]);
      }
      const { user, system } = process.cpuUsage(begun);
      return user + system;
    };
    const quarters = [0, 50_000, 100_000, 150_000].map(from => cost(from, from + 50_000));
    const [, second = 0, , fourth = 0] = quarters;
    expect(state.lines).toHaveLength(200_000);
    // If the time of an event grew with the number of lines, the fourth quarter would take over twice the time of the second.
    expect(fourth / second).toBeLessThan(1.8);
  }, 60_000);
});

describe('the steps of a build', () => {
  it('are those of the request', () => {
    expect(steps(NO_EVENTS, PUSH).map(step => step.name)).toEqual(['snapshot', 'lock', 'layers', 'push']);
    expect(
      steps(NO_EVENTS, { push: false, load: true, archive: 'x.tar', lockfile: 'sha256:1' }).map(step => step.name)
    ).toEqual(['lock', 'layers', 'load', 'export']);
  });

  it('wait, run and end', () => {
    const running = withEvents(NO_EVENTS, LITTLE_BUILD.slice(0, 5));
    expect(steps(running, PUSH).map(step => step.state)).toEqual(['done', 'waiting', 'running', 'waiting']);
    const over = withEvents(running, LITTLE_BUILD.slice(5));
    expect(steps(over, PUSH).every(step => step.state === 'done')).toBe(true);
  });
});

describe('the progress of a build', () => {
  it('is unknown at first, and complete at the end', () => {
    expect(whole(NO_EVENTS).fraction).toBeNull();
    expect(whole(withEvents(NO_EVENTS, LITTLE_BUILD)).fraction).toBe(1);
  });

  it('is unknown as long as the plan is not known', () => {
    const layer = { type: 'progress' as const, subject: 'numpy', complete: 42, total: 42, unit: 'bytes' as const };
    expect(whole(withEvents(NO_EVENTS, numbered([layer]))).fraction).toBeNull();
  });

  it('has one total, and predicts the remaining time', () => {
    const events = numbered(
      [0, 1, 2, 3, 4].flatMap(n => [
        { type: 'progress' as const, subject: 'numpy', complete: 10 * n, total: 40, unit: 'bytes' as const },
        { type: 'progress' as const, subject: 'build', complete: 150 * n, total: 800, unit: 'bytes' as const }
      ])
    );
    const { fraction, complete, total, rate, secondsLeft } = whole(withEvents(NO_EVENTS, events));
    expect(fraction).toBeCloseTo(600 / 800);
    expect([complete, total]).toEqual([600, 800]);
    expect(rate).toBeCloseTo(750);
    expect(secondsLeft).toBeCloseTo(200 / 750);
  });

  it('never falls while a real build is read event by event', () => {
    const states = LITTLE_BUILD.map((_, n) => whole(withEvents(NO_EVENTS, LITTLE_BUILD.slice(0, n + 1))));
    const fractions = states.map(({ fraction }) => fraction ?? 0);
    expect(fractions).toEqual(fractions.slice().sort((x, y) => x - y));
    expect(new Set(states.map(({ total }) => total).filter(total => total > 0)).size).toBe(1);
    expect(fractions.at(-1)).toBe(1);
  });
});
