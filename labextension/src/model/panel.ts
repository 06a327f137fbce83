/** The panel's model: what a person asks for, what the server says, and the state that follows from both. */

import { Signal, type ISignal } from '@lumino/signaling';

import type { Asked, Build, BuildRequest, Fault, Snapshot } from '../api/contract';
import type { Server } from '../api/server';
import type { Connection } from '../api/stream';
import { after } from './build';
import { looksLikeReference, suggested } from './destination';
import { Generation } from './generation';
import { formRequest, imageOf, sameAgain, snapshotRequest } from './request';
import {
  connectionOf,
  engineOf,
  imageBefore,
  INITIAL,
  isOver,
  progressOf,
  shownBuild,
  UNTOUCHED,
  withBuild,
  withBuilds,
  type Comparison,
  type EnvironmentForm,
  type Form,
  type PanelState,
  type Subject
} from './state';

/** How long a person may still be typing a name before the plan is asked for again, in milliseconds. */
const TYPING = 700;

/** What of the form changes the plan. */
const PLANNED: (keyof Form)[] = ['reference', 'cacheFrom', 'destination', 'base', 'engine', 'installer'];

/** A request that the server refused after the person had moved on to something else. */
export interface Refusal {
  asked: Partial<Pick<Asked, 'reference' | 'archive' | 'prefix'>>;
  fault: Fault;
}

export class PanelModel {
  private value: PanelState = INITIAL;
  private readonly signal = new Signal<this, void>(this);
  private readonly endedSignal = new Signal<this, Build>(this);
  private readonly refusedSignal = new Signal<this, Refusal>(this);
  private readonly followed = new Map<string, () => void>();
  /** The builds that were deleted: an older answer of the server may still have them. */
  private readonly deleted = new Set<string>();
  /** What a person wrote for each environment, by its prefix. */
  private readonly forms = new Map<string, EnvironmentForm>();
  private typing: ReturnType<typeof setTimeout> | undefined;
  // One generation for each kind of answer, and one for the place that a person looks at.
  private readonly reading = new Generation();
  private readonly planning = new Generation();
  private readonly asking = new Generation();
  private readonly listing = new Generation();
  private readonly comparing = new Generation();
  private readonly place = new Generation();

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

  /** A request was refused, and the place where the person made it is no longer on show. */
  get refused(): ISignal<this, Refusal> {
    return this.refusedSignal;
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
    const latest = this.listing.next();
    try {
      const builds = await this.server.builds();
      if (latest()) {
        this.set({ absent: null });
        this.receive(builds, withBuilds(this.value, builds));
      }
    } catch (error) {
      if (latest()) {
        this.set({ absent: fault(error) });
      }
    }
  }

  /** Follow another kernel; `read` is false while nobody sees the panel. */
  choose(subject: Subject | null, read: boolean): void {
    if (JSON.stringify(subject) === JSON.stringify(this.value.subject)) {
      return;
    }
    if (JSON.stringify(subject?.source) === JSON.stringify(this.value.subject?.source)) {
      this.set({ subject });
      return;
    }
    clearTimeout(this.typing);
    this.reading.next();
    this.planning.next();
    const form = { ...this.value.form, ...UNTOUCHED };
    this.set({ subject, form, snapshot: null, snapshotFault: null, reading: false, planning: false });
    if (!this.value.shown) {
      this.leave();
    }
    if (read) {
      void this.readEnvironment();
    }
  }

  async readEnvironment(): Promise<void> {
    const { subject } = this.value;
    const latest = this.reading.next();
    this.planning.next();
    if (!subject) {
      this.set({ reading: false, planning: false });
      return;
    }
    this.set({ reading: true, planning: false, snapshotFault: null });
    try {
      const snapshot = await this.server.snapshot(subject.source);
      if (latest()) {
        const form = { ...this.value.form, ...(this.forms.get(snapshot.prefix) ?? UNTOUCHED) };
        this.set({ snapshot, reading: false, form: named({ ...this.value, snapshot, form }) });
        await this.plan();
      }
    } catch (error) {
      if (latest()) {
        this.set({ snapshot: null, snapshotFault: fault(error), reading: false });
      }
    }
  }

  edit(change: Partial<Form>): void {
    this.set({ startFault: null });
    this.change({ ...this.value.form, ...change, ...('reference' in change && { edited: true }) });
    const { form, snapshot } = this.value;
    if (snapshot) {
      const { reference, edited, archive, variables } = form;
      this.forms.set(snapshot.prefix, { reference, edited, archive, variables });
    }
  }

  /** What the form says from now on, until a person says otherwise. */
  prefer(change: Partial<Form>): void {
    this.change({ ...this.value.form, ...change });
  }

  /** Build what the form says. */
  async start(): Promise<void> {
    const { snapshot, subject } = this.value;
    // Without a snapshot the form is still that of no environment.
    if (snapshot && subject) {
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
    const here = this.place.current();
    try {
      this.receive([await this.server.cancel(id)]);
    } catch (error) {
      this.refuse(here, this.asked(id), error);
    }
  }

  /** Remove a build that has ended from the history; its image stays where it is. */
  async forget(id: string): Promise<void> {
    const here = this.place.current();
    const asked = this.asked(id);
    try {
      await this.server.forget(id);
      this.remove(id);
      if (here()) {
        this.set({ startFault: null });
      }
    } catch (error) {
      if (fault(error).code === 'not_found') {
        // Another window was first.
        this.remove(id);
      } else {
        this.refuse(here, asked, error);
      }
    }
  }

  show(id: string | null): void {
    if (id !== this.value.shown) {
      this.leave();
    }
    this.comparing.next();
    this.set({ shown: id, since: null, comparison: null, forgotten: null });
    if (id) {
      this.follow(id);
      this.compareWithBefore();
    }
  }

  async compare(before: Build, now: Build): Promise<void> {
    this.leave();
    this.set({ comparison: { before, after: now, changes: null, fault: null } });
    const comparison = await this.compared(before, now);
    if (this.value.comparison?.before.id === before.id && this.value.comparison.after.id === now.id) {
      this.set({ comparison });
    }
  }

  endComparison(): void {
    this.leave();
    this.set({ comparison: null });
  }

  private async loadStatus(): Promise<void> {
    const latest = this.asking.next();
    try {
      const status = await this.server.status();
      if (latest()) {
        this.set({ status });
        await this.suggest();
      }
    } catch {
      // The panel works without: only suggestions are poorer.
    }
  }

  /** Suggest a name for the image, unless a person gave one; the plan follows the name. */
  private async suggest(): Promise<void> {
    const form = named(this.value);
    if (form.reference !== this.value.form.reference) {
      this.set({ form });
      await this.plan();
    }
  }

  /** Put another form in place; where that changes the plan, ask for the plan when the person has ended typing. */
  private change(form: Form): void {
    const before = this.value.form;
    this.set({ form });
    if (this.value.snapshot && PLANNED.some(member => form[member] !== before[member])) {
      this.planning.next();
      clearTimeout(this.typing);
      this.typing = setTimeout(() => void this.plan(), TYPING);
    }
  }

  /** Compare the plan with where the image would go, and with the image before. */
  private async plan(): Promise<void> {
    const { form, reading, snapshot, subject } = this.value;
    // An environment that is being read gets its plan afterwards.
    if (reading) {
      return;
    }
    const latest = this.planning.next();
    if (!snapshot || !subject) {
      return;
    }
    const compares = form.destination === 'push' || engineOf(this.value) === 'docker';
    if (!compares || !looksLikeReference(form.reference)) {
      this.set({ planning: false, snapshot: uncompared(snapshot, null) });
      return;
    }
    this.set({ planning: true });
    try {
      const compared = await this.server.snapshot(snapshotRequest(subject.source, this.value));
      if (latest()) {
        this.set({ snapshot: compared, planning: false });
        // The environment may have changed since the name was suggested.
        await this.suggest();
      }
    } catch (error) {
      if (latest()) {
        this.set({ snapshot: uncompared(snapshot, fault(error)), planning: false });
      }
    }
  }

  private async post(request: BuildRequest): Promise<void> {
    const here = this.place.current();
    this.set({ starting: true, startFault: null });
    try {
      const build = await this.server.start(request);
      this.receive([build]);
      if (here()) {
        this.show(build.id);
      }
    } catch (error) {
      this.refuse(here, request, error);
    }
  }

  /** Say why the server refused: in the panel where the person is still there, else to whoever listens. */
  private refuse(here: () => boolean, asked: Refusal['asked'], error: unknown): void {
    if (here()) {
      this.set({ starting: false, startFault: fault(error) });
    } else {
      this.refusedSignal.emit({ asked, fault: fault(error) });
    }
  }

  /** The person goes elsewhere: what was asked before does not move them back, and its faults stay behind. */
  private leave(): void {
    this.place.next();
    this.set({ starting: false, startFault: null });
  }

  private asked(id: string): Refusal['asked'] {
    return this.value.builds.find(build => build.id === id)?.request ?? {};
  }

  /** Take a build that is no longer in the server's history out of the panel. */
  private remove(id: string): void {
    this.deleted.add(id);
    this.followed.get(id)?.();
    this.followed.delete(id);
    this.set({
      builds: this.value.builds.filter(build => build.id !== id),
      progress: without(this.value.progress, id),
      connections: without(this.value.connections, id)
    });
    if (this.value.shown === id) {
      this.show(null);
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
      build: build => this.receive([build]),
      connection: now => this.connect(id, now),
      ended: () => this.conclude(id),
      forgotten: () => {
        const forgotten = shownBuild(this.value)?.id === id ? shownBuild(this.value) : null;
        this.remove(id);
        if (forgotten) {
          this.set({ forgotten });
        }
      }
    });
    this.followed.set(id, stop);
  }

  private connect(id: string, now: Connection): void {
    if (connectionOf(this.value, id) !== now) {
      this.set({ connections: { ...this.value.connections, [id]: now } });
    }
    if (now === 'open' && this.value.absent) {
      // The server lets the user in again: so it will with what it refused before.
      void this.refresh();
    }
  }

  /** Ask once more what became of a build whose stream is over; resolves to whether it has ended. */
  private async conclude(id: string): Promise<boolean> {
    try {
      this.receive([await this.server.build(id)]);
    } catch {
      // The stream may have told before it was over.
    }
    const build = this.value.builds.find(each => each.id === id);
    return !build || isOver(build);
  }

  /** Take in what the server says of builds; `all` is every build that is known afterwards. */
  private receive(received: readonly Build[], all?: Build[]): void {
    const before = new Map(this.value.builds.map(build => [build.id, build]));
    const builds = all ?? received.reduce(withBuild, this.value.builds);
    this.set({ builds: builds.filter(build => !this.deleted.has(build.id)) });
    for (const build of this.value.builds) {
      const known = before.get(build.id);
      if (!isOver(build)) {
        this.follow(build.id);
      } else if (known && !isOver(known)) {
        this.end(build);
      }
    }
  }

  private end(build: Build): void {
    if (this.value.shown === build.id) {
      this.compareWithBefore();
    }
    // What was to be built is there now.
    void this.plan();
    this.endedSignal.emit(build);
  }

  private compareWithBefore(): void {
    const build = shownBuild(this.value);
    const before = build?.result && imageBefore(this.value.builds, build.request.prefix, build.created);
    if (build && before) {
      const latest = this.comparing.next();
      void this.compared(before, build).then(since => latest() && this.set({ since }));
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

/** The form with a suggested name for the image, unless a person wrote one. */
function named({ form, snapshot, status }: PanelState): Form {
  return !snapshot || form.edited
    ? form
    : { ...form, reference: suggested(status?.settings.registry ?? '', snapshot.name, snapshot.digest) };
}

/** A snapshot without the comparison of its plan, which was with another place. */
function uncompared(snapshot: Snapshot, unavailable: Fault | null): Snapshot {
  const layers = snapshot.plan.layers.map(layer =>
    layer.state === 'in registry' ? { ...layer, state: 'to build' as const } : layer
  );
  return { ...snapshot, plan: { ...snapshot.plan, layers, compared: false, unavailable } };
}

function without<Value>(record: Readonly<Record<string, Value>>, id: string): Record<string, Value> {
  const { [id]: _, ...others } = record;
  return others;
}

/** The digest of the lock file that a build was made from. */
function environmentOf({ request, result }: Build): string {
  return result?.environment || request.lockfile;
}
