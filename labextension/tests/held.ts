/** Requests whose answers come late: a test gives each answer when it wants. */

import { vi } from 'vitest';

import type { FakeServer } from './fakeServer';

/** Wait until all code has continued that waits for existing answers. */
export const settled = async (): Promise<void> => void (await vi.advanceTimersByTimeAsync(0));

/** A request that a test answers. */
export interface Question<Answer> {
  answer(given: Answer): void;
  fail(error: object): void;
}

/** From now on, the test gives the answers to one kind of request. */
export function held<Answer>(
  server: FakeServer,
  method: 'status' | 'settings' | 'builds' | 'start' | 'cancel' | 'forget' | 'difference'
): Question<Answer>[] {
  const questions: Question<Answer>[] = [];
  vi.spyOn(server, method).mockImplementation(
    () => new Promise<never>((resolve, reject) => questions.push({ answer: given => resolve(given as never), fail: reject }))
  );
  return questions;
}
