/** Whether the modules of a new image can be imported: the check after each build, and its results. */

import type { Build, Check } from '../api/contract';
import type { Server } from '../api/server';
import { faultOf } from './fault';
import { Generation } from './generation';
import type { LogLine } from './lines';
import { probed } from './possible';
import { isOver, type PanelState } from './state';
import type { Store } from './store';

/** The time between two questions about the checks that run, in milliseconds. */
const INTERVAL = 1000;

/** Whether the image of a build can be checked: the engine of the server starts it. */
export function isCheckable({ status }: PanelState, build: Build): boolean {
  return hasEngine(status) && build.state === 'finished' && build.command !== 'verify';
}

/** Whether an engine answers. Without one, the panel offers no check. */
export function hasEngine(status: PanelState['status']): boolean {
  return !!status?.probes.some(({ subject }) => subject === 'engine') && !probed(status, 'engine');
}

/** The Debian packages of the libraries that the image lacks. */
export function missingPackages({ failed }: Check): string[] {
  return [...new Set(failed.map(({ debian_package }) => debian_package).filter(Boolean))];
}

/** The lines of a check in the log of its build. */
export function checkLines(check: Check | undefined): LogLine[] {
  if (!check) {
    return [];
  }
  const line = { time: check.started, label: 'check' };
  return [
    ...(check.imported.length ? [{ ...line, kind: 'log' as const, text: check.imported.join(' ') }] : []),
    ...check.failed.map(({ error, module }) => ({ ...line, kind: 'warning' as const, text: `${module}: ${error}` })),
    ...(check.fault ? [{ ...line, kind: 'warning' as const, text: check.fault.message }] : [])
  ];
}

export class Checks {
  /** The notebook that was open when each build was started, by the build's id. */
  private readonly notebooks = new Map<string, string>();
  /** The ended builds that wait until it is known whether there is an engine. */
  private pending: Build[] = [];
  /** An answer about all checks is old after a check was started or cancelled. */
  private readonly answers = new Generation();
  private waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly server: Server,
    private readonly store: Store
  ) {
    store.changed.connect(() => {
      if (this.pending.length && store.state.status?.probes.length) {
        this.pending.splice(0).forEach(build => this.ended(build));
      }
    });
  }

  dispose(): void {
    clearTimeout(this.waiting);
  }

  /** A person has started a build, which may be over: the same image was there. */
  started(build: Build): void {
    const path = this.notebookOf(build);
    if (path) {
      this.notebooks.set(build.id, path);
    }
    if (isOver(build)) {
      this.ended(build);
    }
  }

  /** Check the image of a build that has ended, unless the person has switched this off. */
  ended(build: Build): void {
    const { form, status } = this.store.state;
    if (form.check && !status?.probes.length) {
      this.pending.push(build);
    } else if (form.check && isCheckable(this.store.state, build)) {
      void this.start(build);
    }
  }

  /**
   * Check the image of a build.
   *
   * @param download - Whether the engine may get any number of bytes for it.
   */
  async start(build: Build, download = false): Promise<void> {
    const notebook = this.notebooks.get(build.id) ?? this.notebookOf(build);
    const check = await this.server
      .check({ build: build.id, ...(notebook && { notebook }), ...(download && { download }) })
      .catch((error: unknown): Check => ({ ...NO_CHECK, build: build.id, state: 'failed', fault: faultOf(error) }));
    this.answers.next();
    this.take([check]);
  }

  async cancel({ build }: Check): Promise<void> {
    try {
      const ended = await this.server.endCheck(build);
      this.answers.next();
      this.take([ended]);
    } catch {
      // It has ended, or the server was started again.
      await this.load();
    }
  }

  /** Load the checks of the server: also those of other windows, and those from before a reload. */
  async load(): Promise<void> {
    const isLatest = this.answers.next();
    const before = Object.values(this.store.state.checks);
    const checks = await this.server.checks().catch(() => null);
    if (checks && isLatest()) {
      // A check that is not there any more has ended with the server, or in another window.
      const gone = before.filter(({ build, state }) => state === 'running' && !checks.some(check => check.build === build));
      this.take([...gone.map(check => ({ ...check, state: 'cancelled' as const })), ...checks]);
    } else {
      this.wait();
    }
  }

  private take(checks: readonly Check[]): void {
    this.store.set({ checks: { ...this.store.state.checks, ...Object.fromEntries(checks.map(check => [check.build, check])) } });
    this.wait();
  }

  private wait(): void {
    clearTimeout(this.waiting);
    if (Object.values(this.store.state.checks).some(({ state }) => state === 'running')) {
      this.waiting = setTimeout(() => void this.load(), INTERVAL);
    }
  }

  private notebookOf({ request }: Build): string {
    const { snapshot, subject } = this.store.state;
    return (snapshot?.prefix === request.prefix && subject?.path) || '';
  }
}

const NO_CHECK: Check = { build: '', notebook: '', state: 'failed', started: 0, step: '', complete: 0, total: 0, missing: 0, imported: [], failed: [], fault: null };
