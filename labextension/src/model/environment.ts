/** The environment of the chosen kernel: its snapshot, the form, and the plan of a build. */

import type { Fault, Snapshot, SnapshotRequest, Status } from '../api/contract';
import type { Server } from '../api/server';
import { suggestedReference } from './destination';
import { faultOf } from './fault';
import { decisions, insideOnly, type Selection } from './selection';
import { Generation } from './generation';
import { isComparable } from './possible';
import { contentsRequest, snapshotRequest } from './request';
import {
  EMPTY_ENVIRONMENT_FORM,
  engineOf,
  existingBuild,
  includeOf,
  type EnvironmentForm,
  type Form,
  type PanelState,
  type Subject
} from './state';
import type { Store } from './store';
import { isSameTarget, OWN_PLATFORM, type Target } from './target';

/** The time between the last change of the form and the request for the plan, in milliseconds. */
const TYPING_PAUSE = 700;

/** The fields of the form that change the plan. */
const PLANNED_FIELDS: (keyof Form)[] = ['reference', 'cacheFrom', 'destination', 'base', 'engine', 'installer', 'include', 'notebook', 'selection', 'variables'];

export class Environment {
  /** The values that a person entered for each environment, by its prefix. */
  private readonly entered = new Map<string, EnvironmentForm>();
  /** What the displayed snapshot was asked for, see `contentsKey`. */
  private asked = '';
  /** The platform that a person chose for each environment, by its kernel. */
  private readonly targets = new Map<string, Target>();
  private readonly statuses = new Generation();
  private readonly snapshots = new Generation();
  private readonly plans = new Generation();
  private typing: ReturnType<typeof setTimeout> | undefined;
  private checking = false;

  constructor(
    private readonly server: Server,
    private readonly store: Store,
    private readonly planned: () => void
  ) {}

  dispose(): void {
    clearTimeout(this.typing);
  }

  /** Switch to another kernel; returns false if it is the same kernel with another title. */
  choose(subject: Subject | null): boolean {
    const { form, subject: before } = this.store.state;
    if (JSON.stringify(subject) === JSON.stringify(before)) {
      return false;
    }
    if (JSON.stringify(subject?.source) === JSON.stringify(before?.source)) {
      this.store.set({ subject });
      return false;
    }
    clearTimeout(this.typing);
    this.snapshots.next();
    this.plans.next();
    this.store.set({
      subject,
      form: { ...form, ...EMPTY_ENVIRONMENT_FORM, ...(this.targets.get(keyOf(subject)) ?? OWN_PLATFORM) },
      snapshot: null,
      snapshotFault: null,
      outdated: false,
      existing: null,
      licenses: null,
      reading: false,
      planning: false
    });
    return true;
  }

  /** Read the environment, restore the values that a person entered for it, and request its plan. */
  async read(): Promise<void> {
    const { subject } = this.store.state;
    const isLatest = this.snapshots.next();
    this.plans.next();
    if (!subject) {
      this.store.set({ reading: false, planning: false });
      return;
    }
    this.store.set({ reading: true, planning: false, snapshotFault: null });
    try {
      const snapshot = await this.ask(() => contentsRequest(subject.source, this.store.state), this.snapshots);
      if (isLatest()) {
        await this.take(snapshot);
      }
    } catch (error) {
      if (isLatest()) {
        this.store.set({ snapshot: null, snapshotFault: faultOf(error), reading: false });
      }
    }
  }

  /** Display a new snapshot of the environment, and request its plan. */
  async take(snapshot: Snapshot): Promise<void> {
    this.snapshots.next();
    this.display(snapshot, { reading: false });
    this.store.set({ form: withSuggestion(this.store.state) });
    await this.plan();
    await this.loadLicenses();
  }

  /** Read the environment again if packages were installed or removed, or if the kernel runs in another environment. */
  async check(): Promise<void> {
    const { reading, snapshot, subject } = this.store.state;
    if (!snapshot || !subject || reading || this.checking) {
      return;
    }
    this.checking = true;
    const isLatest = this.snapshots.current();
    try {
      const { prefix, stamp } = await this.server.stamp(subject.source);
      if (isLatest() && (prefix !== snapshot.prefix || stamp !== snapshot.stamp)) {
        await this.read();
      }
    } catch {
      // The kernel has ended, or the server does not answer. The next request of the person shows the reason.
    } finally {
      this.checking = false;
    }
  }

  /** Change the form as a person does. */
  edit(change: Partial<Form>): void {
    this.setForm({ ...change, ...('reference' in change && { edited: true }) });
    const { form, snapshot } = this.store.state;
    if (snapshot) {
      const { reference, edited, archive, selection, variables, cacheFrom } = form;
      // Another notebook of the environment was not chosen.
      this.entered.set(snapshot.prefix, { reference, edited, archive, selection, variables, cacheFrom, notebook: false });
    }
  }

  /** Change the form as the settings of JupyterLab do. */
  prefer(change: Partial<Form>): void {
    this.setForm(change);
    this.setForm(withSuggestion(this.store.state));
  }

  async loadStatus(): Promise<void> {
    const isLatest = this.statuses.next();
    const take = async (asked: Promise<Status>): Promise<void> => {
      try {
        const status = await asked;
        if (isLatest()) {
          this.store.set({ status });
          await this.suggest();
        }
      } catch {
        // The panel works without the status. Only its suggestions are less useful.
      }
    };
    // The probes take seconds where a registry does not answer. The settings come at once.
    const settings = this.store.state.status ? Promise.resolve() : take(this.server.settings());
    await Promise.all([settings, settings.then(() => take(this.server.status()))]);
  }

  /** Request the plan for the current form: the layers that exist at the destination, and the layers to build. */
  async plan(): Promise<void> {
    const { reading, snapshot, subject } = this.store.state;
    // The plan is requested when the environment has been read.
    if (reading) {
      return;
    }
    const isLatest = this.plans.next();
    if (!snapshot || !subject) {
      return;
    }
    const compares = isComparable(this.store.state) || engineOf(this.store.state) === 'docker';
    // The files of an included folder are searched for secrets, whatever the destination is.
    if (!includeOf(this.store.state) && !compares && contentsKey(contentsRequest(subject.source, this.store.state)) === this.asked) {
      this.store.set({ planning: false, existing: null, snapshot: withoutComparison(snapshot, null) });
      this.planned();
      return;
    }
    this.store.set({ planning: true });
    try {
      const planned = await this.ask(() => snapshotRequest(subject.source, this.store.state), this.plans);
      if (isLatest()) {
        const { current } = planned.plan;
        const known = this.store.state.existing;
        const isKnown = known?.digest === current && snapshot.digest === planned.digest;
        this.display(planned, { planning: false, existing: current ? (isKnown ? known : { digest: current, changes: null }) : null });
        // The environment may have changed since the reference was suggested.
        await this.suggest();
        this.planned();
        await this.compareExisting();
        await this.loadLicenses();
      }
    } catch (error) {
      if (isLatest()) {
        this.store.set({ snapshot: withoutComparison(snapshot, faultOf(error)), existing: null, planning: false });
        this.planned();
      }
    }
  }

  /** The selection for each environment, by its prefix. */
  get selections(): ReadonlyMap<string, Selection> {
    return new Map([...this.entered].map(([prefix, { selection }]) => [prefix, selection]));
  }

  /** Use the selections of an earlier session, where a person has not chosen in this one. */
  recall(selection: ReadonlyMap<string, Selection>): void {
    for (const [prefix, each] of selection) {
      if (!this.entered.has(prefix)) {
        this.entered.set(prefix, { ...EMPTY_ENVIRONMENT_FORM, selection: each });
      }
    }
  }

  /** Use the selections of another window for the environments that are not displayed. */
  follow(selections: ReadonlyMap<string, Selection>): void {
    for (const prefix of new Set([...this.entered.keys(), ...selections.keys()])) {
      const before = this.entered.get(prefix) ?? EMPTY_ENVIRONMENT_FORM;
      this.entered.set(prefix, { ...before, selection: selections.get(prefix) ?? EMPTY_ENVIRONMENT_FORM.selection });
    }
  }

  /**
   * Request a snapshot. If a place outside of the environment that a person has chosen does not exist any more, the server
   * refuses: then the choices of such places are forgotten.
   */
  private async ask(request: () => SnapshotRequest, generation: Generation): Promise<Snapshot> {
    const isLatest = generation.current();
    const { selection } = this.store.state.form;
    const inside = insideOnly(selection);
    try {
      return await this.answer(request(), generation);
    } catch (error) {
      if (faultOf(error).code !== 'usage' || !isLatest() || decisions(inside).length === decisions(selection).length) {
        throw error;
      }
    }
    this.store.set({ form: { ...this.store.state.form, selection: inside } });
    return this.answer(request(), generation);
  }

  private async answer(request: SnapshotRequest, generation: Generation): Promise<Snapshot> {
    const isLatest = generation.current();
    const snapshot = await this.server.snapshot(request, generation.signal);
    if (isLatest()) {
      this.asked = contentsKey(request);
    }
    return snapshot;
  }

  /** Whether the person has changed a choice about the contents, and the snapshot of it is not here yet. */
  get isChosenAnew(): boolean {
    const { subject } = this.store.state;
    return subject !== null && contentsKey(contentsRequest(subject.source, this.store.state)) !== this.asked;
  }

  /** Count the packages that differ from the image that the form's name has now. */
  private async compareExisting(): Promise<void> {
    const { existing, form, snapshot } = this.store.state;
    if (!existing || existing.changes !== null || !snapshot) {
      return;
    }
    const environment = existingBuild(this.store.state)?.result?.environment;
    const before = environment ? { lockfile: environment } : { reference: form.reference };
    const isLatest = this.plans.current();
    try {
      const { changes } = await this.server.difference(before, { lockfile: snapshot.digest });
      if (isLatest()) {
        this.store.set({ existing: { ...existing, changes: changes.length } });
      }
    } catch {
      // The image was made by another tool. It is there all the same.
    }
  }

  private async loadLicenses(): Promise<void> {
    const { licenses, snapshot } = this.store.state;
    if (licenses || !snapshot) {
      return;
    }
    const isLatest = this.snapshots.current();
    try {
      const found = await this.server.licenses({ prefix: snapshot.prefix });
      if (isLatest()) {
        this.store.set({ licenses: found });
      }
    } catch {
      // The panel works without the licences.
    }
  }

  /** Display a snapshot. A name and the other values that a person entered belong to one environment. */
  private display(snapshot: Snapshot, change: Partial<PanelState>): void {
    const { form, licenses, snapshot: before } = this.store.state;
    const isSame = before?.identity === snapshot.identity && before.prefix === snapshot.prefix;
    const entered = before?.prefix === snapshot.prefix ? {} : (this.entered.get(snapshot.prefix) ?? EMPTY_ENVIRONMENT_FORM);
    this.store.set({ snapshot, form: { ...form, ...entered }, licenses: isSame ? licenses : null, ...change });
  }

  private async suggest(): Promise<void> {
    const form = withSuggestion(this.store.state);
    if (form.reference !== this.store.state.form.reference) {
      this.store.set({ form });
      await this.plan();
    }
  }

  private setForm(change: Partial<Form>): void {
    const { form: before, snapshot, subject } = this.store.state;
    const form = { ...before, ...change };
    this.store.set({ form });
    if (!isSameTarget(form, before)) {
      const { platforms, strictVersions, leaveOut } = form;
      this.targets.set(keyOf(subject), { platforms, strictVersions, leaveOut });
      clearTimeout(this.typing);
      void this.read();
      return;
    }
    if (snapshot && PLANNED_FIELDS.some(field => form[field] !== before[field])) {
      this.plans.next();
      // Another name may have a registry that answers.
      this.store.set({ existing: null, ...(snapshot.plan.unavailable && { snapshot: withoutComparison(snapshot, null) }) });
      clearTimeout(this.typing);
      this.typing = setTimeout(() => void this.plan(), TYPING_PAUSE);
    }
  }
}

/** Equal for requests for the same contents of an environment, whatever they are compared with and made by. */
function contentsKey(request: SnapshotRequest): string {
  const { reference: _, cache_from: __, base: ___, engine: ____, installer: _____, apt: ______, ...contents } = request;
  return JSON.stringify(contents);
}

function keyOf(subject: Subject | null): string {
  return JSON.stringify(subject?.source);
}

/** The form. It has a suggested reference if a person has not written a reference. */
function withSuggestion({ builds, form, snapshot, status }: PanelState): Form {
  return !snapshot || form.edited
    ? form
    : { ...form, reference: suggestedReference(status?.settings.registry ?? '', snapshot, builds, form.tagStyle) };
}

/** A snapshot whose plan does not contain the state of the destination. If an error is the reason, `unavailable` is this error. */
function withoutComparison(snapshot: Snapshot, unavailable: Fault | null): Snapshot {
  const layers = snapshot.plan.layers.map(layer =>
    ['there', 'mounted'].includes(layer.state) ? { ...layer, state: 'built' as const } : layer
  );
  return { ...snapshot, plan: { ...snapshot.plan, layers, compared: false, current: '', unavailable } };
}
