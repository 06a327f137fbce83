/** The panel's model: what a person asks for, what the server says, and the state that follows from both. */

import { Signal, type ISignal } from '@lumino/signaling';

import type { Build, BuildRequest, Fault } from '../api/contract';
import type { Server } from '../api/server';
import { after } from './build';
import { suggested } from './destination';
import { formRequest, imageOf, sameAgain, snapshotRequest } from './request';
import {
  engineOf,
  imageBefore,
  INITIAL,
  isOver,
  progressOf,
  shownBuild,
  withBuild,
  type Comparison,
  type Form,
  type PanelState,
  type Subject
} from './state';

/** How long a person may still be typing a name before the plan is asked for again, in milliseconds. */
const TYPING = 700;

/** What of the form changes the plan. */
const PLANNED: (keyof Form)[] = ['reference', 'cacheFrom', 'destination', 'base', 'engine', 'installer'];

export class PanelModel {
  private value: PanelState = INITIAL;
  private readonly signal = new Signal<this, void>(this);
  private readonly endedSignal = new Signal<this, Build>(this);
  private readonly followed = new Map<string, () => void>();
  private typing: ReturnType<typeof setTimeout> | undefined;
  private turn = 0;

  constructor(private readonly server: Server) {}

  get state(): PanelState {
    return this.value;
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  /** A build that was followed has ended. */
  get ended(): ISignal<this, Build> {
    return this.endedSignal;
  }

  dispose(): void {
    clearTimeout(this.typing);
    this.followed.forEach(stop => stop());
    this.followed.clear();
    Signal.clearData(this);
  }

  /** Ask the server for everything anew. */
  async refresh(): Promise<void> {
    await this.loadBuilds();
    if (!this.value.absent) {
      await Promise.all([this.loadStatus(), this.readEnvironment()]);
    }
  }

  /** Builds of other windows and of before a reload; one that runs is followed. */
  async loadBuilds(): Promise<void> {
    try {
      const builds = await this.server.builds();
      this.set({ builds, absent: null });
      for (const build of builds.filter(each => !isOver(each))) {
        this.follow(build.id);
      }
    } catch (error) {
      this.set({ absent: fault(error) });
    }
  }

  /** Follow another kernel; `read` is false while nobody sees the panel. */
  choose(subject: Subject | null, read: boolean): void {
    if (JSON.stringify(subject) === JSON.stringify(this.value.subject)) {
      return;
    }
    const same = JSON.stringify(subject?.source) === JSON.stringify(this.value.subject?.source);
    this.set(same ? { subject } : { subject, snapshot: null, snapshotFault: null, startFault: null });
    if (read && !same) {
      void this.readEnvironment();
    }
  }

  async readEnvironment(): Promise<void> {
    const { subject } = this.value;
    const turn = ++this.turn;
    if (!subject) {
      this.set({ reading: false, planning: false });
      return;
    }
    this.set({ reading: true, planning: false, snapshotFault: null });
    try {
      const snapshot = await this.server.snapshot(subject.source);
      if (turn !== this.turn) {
        return;
      }
      this.set({ snapshot, reading: false });
      this.suggest();
      await this.plan();
    } catch (error) {
      if (turn === this.turn) {
        this.set({ snapshot: null, snapshotFault: fault(error), reading: false });
      }
    }
  }

  edit(change: Partial<Form>): void {
    const form = { ...this.value.form, ...change, ...('reference' in change && { edited: true }) };
    this.set({ form, startFault: null });
    if (PLANNED.some(member => member in change)) {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => void this.plan(), TYPING);
    }
  }

  /** What the form says from now on, until a person says otherwise. */
  prefer(change: Partial<Form>): void {
    this.set({ form: { ...this.value.form, ...change } });
  }

  /** Build what the form says. */
  async start(): Promise<void> {
    const { subject } = this.value;
    if (subject) {
      await this.post(formRequest(subject.source, this.value));
    }
  }

  /** Build the same again: from the environment as it is now, or from the lock file. */
  async retry(build: Build): Promise<void> {
    await this.post(sameAgain(build));
  }

  /** The image on another base, under the same name: no layer is made again. */
  async rebase(build: Build, base: string): Promise<void> {
    const reference = build.result?.reference || build.request.reference;
    await this.post({ command: 'rebase', reference, base });
  }

  /** Whether the image is what the lock file inside makes. */
  async verify(build: Build): Promise<void> {
    await this.post({ command: 'verify', reference: imageOf(build) });
  }

  async cancel(id: string): Promise<void> {
    try {
      this.receive(await this.server.cancel(id));
    } catch (error) {
      this.set({ startFault: fault(error) });
    }
  }

  /** Remove a build that has ended from the history; its image stays where it is. */
  async forget(id: string): Promise<void> {
    try {
      await this.server.forget(id);
      const { [id]: _, ...progress } = this.value.progress;
      this.set({ builds: this.value.builds.filter(build => build.id !== id), progress, startFault: null });
      this.followed.get(id)?.();
      this.followed.delete(id);
      if (this.value.shown === id) {
        this.show(null);
      }
    } catch (error) {
      this.set({ startFault: fault(error) });
    }
  }

  show(id: string | null): void {
    this.set({ shown: id, since: null, comparison: null, connected: true });
    if (id) {
      this.follow(id);
      this.compareWithBefore();
    }
  }

  async compare(before: Build, now: Build): Promise<void> {
    this.set({ comparison: { before, after: now, changes: null, fault: null } });
    const comparison = await this.compared(before, now);
    if (this.value.comparison?.before.id === before.id && this.value.comparison.after.id === now.id) {
      this.set({ comparison });
    }
  }

  endComparison(): void {
    this.set({ comparison: null });
  }

  private async loadStatus(): Promise<void> {
    try {
      this.set({ status: await this.server.status() });
      this.suggest();
    } catch {
      // The panel works without: only suggestions are poorer.
    }
  }

  /** A name for the image, unless a person gave one. */
  private suggest(): void {
    const { form, snapshot, status } = this.value;
    if (snapshot && !form.edited) {
      const reference = suggested(status?.settings.registry ?? '', snapshot.name, snapshot.digest);
      this.set({ form: { ...form, reference } });
    }
  }

  /** Compare the plan with where the image would go, and with the image before. */
  private async plan(): Promise<void> {
    const { form, reading, snapshot, subject } = this.value;
    const compares = form.destination === 'push' || engineOf(this.value) === 'docker';
    // An environment that is being read gets its plan afterwards.
    if (!snapshot || !subject || !form.reference || !compares || reading) {
      return;
    }
    const turn = ++this.turn;
    this.set({ planning: true });
    try {
      const compared = await this.server.snapshot(snapshotRequest(subject.source, this.value));
      if (turn === this.turn) {
        this.set({ snapshot: compared, planning: false });
      }
    } catch {
      // The plan that is there stands; a build will say what is wrong with the name.
      if (turn === this.turn) {
        this.set({ planning: false });
      }
    }
  }

  private async post(request: BuildRequest): Promise<void> {
    this.set({ starting: true, startFault: null });
    try {
      const build = await this.server.start(request);
      this.receive(build);
      this.set({ starting: false });
      this.show(build.id);
    } catch (error) {
      this.set({ starting: false, startFault: fault(error) });
    }
  }

  private follow(id: string): void {
    if (this.followed.has(id)) {
      return;
    }
    const stop = this.server.follow(id, {
      lastSeq: () => progressOf(this.value, id).seq,
      events: events => {
        const progress = after(progressOf(this.value, id), events);
        this.set({ progress: { ...this.value.progress, [id]: progress } });
      },
      build: build => this.receive(build),
      connected: yes => this.value.shown === id && this.set({ connected: yes }),
      ended: () => void this.conclude(id)
    });
    this.followed.set(id, stop);
  }

  /** The stream is over: what became of the build is asked for once more, whatever the stream said. */
  private async conclude(id: string): Promise<void> {
    const wasActive = this.value.builds.some(build => build.id === id && !isOver(build));
    this.set({ connected: true });
    try {
      this.receive(await this.server.build(id), wasActive);
    } catch {
      // A build that is gone stays as it was last seen.
    }
  }

  private receive(build: Build, wasActive = false): void {
    const before = this.value.builds.find(each => each.id === build.id);
    this.set({ builds: withBuild(this.value.builds, build) });
    if (!isOver(build)) {
      this.follow(build.id);
    } else if (wasActive || (before && !isOver(before))) {
      if (this.value.shown === build.id) {
        this.compareWithBefore();
      }
      // What was to be built is there now.
      void this.plan();
      this.endedSignal.emit(build);
    }
  }

  private compareWithBefore(): void {
    const build = shownBuild(this.value);
    const before = build?.result && imageBefore(this.value.builds, build.request.prefix, build.created);
    if (build && before) {
      void this.compared(before, build).then(since => this.value.shown === build.id && this.set({ since }));
    }
  }

  private async compared(before: Build, now: Build): Promise<Comparison> {
    try {
      const { changes } = await this.server.difference(environmentOf(before), environmentOf(now));
      return { before, after: now, changes, fault: null };
    } catch (error) {
      return { before, after: now, changes: null, fault: fault(error) };
    }
  }

  private set(change: Partial<PanelState>): void {
    this.value = { ...this.value, ...change };
    this.signal.emit();
  }
}

/** What can be said of anything that was thrown. */
export function fault(error: unknown): Fault {
  const { code, message, hint } = error as Partial<Fault>;
  return {
    code: typeof code === 'string' ? code : 'no_answer',
    message: typeof message === 'string' ? message : String(error),
    hint: typeof hint === 'string' ? hint : ''
  };
}

/** The digest of the lock file that a build was made from. */
function environmentOf({ request, result }: Build): string {
  return result?.environment || request.lockfile;
}
