/** The panel's model: it takes the actions of a person and the answers of the server, and changes the state. */

import { Signal, type ISignal } from '@lumino/signaling';

import type { Asked, Build, BuildRequest, Fault } from '../api/contract';
import type { Server } from '../api/server';
import { BuildList } from './buildList';
import { Environment } from './environment';
import { faultOf } from './fault';
import { Generation } from './generation';
import { formRequest, imageOf, sameAgain } from './request';
import { previousImage, shownBuild, type Comparison, type Form, type PanelState, type Subject } from './state';
import { Store } from './store';

/** A request that the server refused after the person had moved on to another view. */
export interface Refusal {
  asked: Partial<Pick<Asked, 'reference' | 'archive' | 'prefix'>>;
  fault: Fault;
}

export class PanelModel {
  private readonly store = new Store();
  private readonly environment: Environment;
  private readonly builds: BuildList;
  private readonly endedSignal = new Signal<this, Build>(this);
  private readonly refusedSignal = new Signal<this, Refusal>(this);
  /** The view that is displayed, and the changes that it displays. */
  private readonly views = new Generation();
  private readonly changes = new Generation();

  constructor(private readonly server: Server) {
    this.environment = new Environment(server, this.store);
    this.builds = new BuildList(server, this.store, {
      ended: build => this.end(build),
      forgotten: build => this.closeForgotten(build),
      connected: () => this.recover()
    });
  }

  get state(): PanelState {
    return this.store.state;
  }

  get changed(): ISignal<unknown, void> {
    return this.store.changed;
  }

  /** A build that was queued or running has ended. */
  get ended(): ISignal<this, Build> {
    return this.endedSignal;
  }

  /** The server refused a request, and the view from which the person sent it is no longer displayed. */
  get refused(): ISignal<this, Refusal> {
    return this.refusedSignal;
  }

  dispose(): void {
    this.environment.dispose();
    this.builds.dispose();
    this.store.dispose();
    Signal.clearData(this);
  }

  /** Load everything from the server again. */
  async refresh(): Promise<void> {
    await this.loadBuilds();
    if (!this.state.absent) {
      await Promise.all([this.environment.loadStatus(), this.environment.read()]);
    }
  }

  async loadBuilds(): Promise<void> {
    await this.builds.load();
  }

  /**
   * Switch to another kernel.
   *
   * @param subject - The kernel; null if no notebook has a kernel.
   * @param read - Whether to read its environment now; false while the panel is hidden.
   */
  choose(subject: Subject | null, read: boolean): void {
    if (!this.environment.choose(subject)) {
      return;
    }
    if (!this.state.shown) {
      this.leaveView();
    }
    if (read) {
      void this.environment.read();
    }
  }

  async readEnvironment(): Promise<void> {
    await this.environment.read();
  }

  /** Change the form as a person does. */
  edit(change: Partial<Form>): void {
    this.store.set({ startFault: null });
    this.environment.edit(change);
  }

  /** Change the form as the settings of JupyterLab do. */
  prefer(change: Partial<Form>): void {
    this.environment.prefer(change);
  }

  /** Build the image that the form describes. */
  async start(): Promise<void> {
    const { snapshot, subject } = this.state;
    // The form has no name for its image until the environment has been read.
    if (snapshot && subject) {
      await this.post(formRequest(subject.source, this.state));
    }
  }

  /** Repeat a build, from the current environment or from the lock file of the build. */
  async retry(build: Build): Promise<void> {
    await this.post(sameAgain(build));
  }

  /** Put the layers of an image on another base image, under the same name. */
  async rebase(build: Build, base: string): Promise<void> {
    const reference = build.result?.reference || build.request.reference;
    await this.post({ command: 'rebase', reference, base });
  }

  /** Rebuild an image from its own lock file, and compare both images. */
  async verify(build: Build): Promise<void> {
    await this.post({ command: 'verify', reference: imageOf(build) });
  }

  async cancel(id: string): Promise<void> {
    const isDisplayed = this.views.current();
    try {
      this.builds.add(await this.server.cancel(id));
    } catch (error) {
      this.refuse(this.askedOf(id), error, isDisplayed());
    }
  }

  /** Delete an ended build from the history; its image is kept. */
  async forget(id: string): Promise<void> {
    const isDisplayed = this.views.current();
    const asked = this.askedOf(id);
    try {
      await this.server.forget(id);
    } catch (error) {
      // Another window may have deleted the build.
      if (faultOf(error).code !== 'not_found') {
        this.refuse(asked, error, isDisplayed());
        return;
      }
    }
    this.remove(id);
    if (isDisplayed()) {
      this.store.set({ startFault: null });
    }
  }

  /** Display a build; with null, the environment and the history. */
  show(id: string | null): void {
    if (id !== this.state.shown) {
      this.leaveView();
    }
    this.changes.next();
    this.store.set({ shown: id, since: null, comparison: null, forgotten: null });
    if (id) {
      this.builds.follow(id);
      this.loadChanges();
    }
  }

  /** Display the differences between two builds. */
  async compare(before: Build, now: Build): Promise<void> {
    this.leaveView();
    this.store.set({ comparison: { before, after: now, changes: null, fault: null } });
    const comparison = await this.difference(before, now);
    if (this.state.comparison?.before.id === before.id && this.state.comparison.after.id === now.id) {
      this.store.set({ comparison });
    }
  }

  endComparison(): void {
    this.leaveView();
    this.store.set({ comparison: null });
  }

  private async post(request: BuildRequest): Promise<void> {
    const isDisplayed = this.views.current();
    this.store.set({ starting: true, startFault: null });
    try {
      const build = await this.server.start(request);
      this.builds.add(build);
      if (isDisplayed()) {
        this.show(build.id);
      }
    } catch (error) {
      this.refuse(request, error, isDisplayed());
    }
  }

  /** Display an error in the view from which the person sent the request, or emit a signal if that view is closed. */
  private refuse(asked: Refusal['asked'], error: unknown, isDisplayed: boolean): void {
    if (isDisplayed) {
      this.store.set({ starting: false, startFault: faultOf(error) });
    } else {
      this.refusedSignal.emit({ asked, fault: faultOf(error) });
    }
  }

  /** Leave the view with its errors; answers to its requests no longer change what is displayed. */
  private leaveView(): void {
    this.views.next();
    this.store.set({ starting: false, startFault: null });
  }

  private askedOf(id: string): Refusal['asked'] {
    return this.builds.find(id)?.request ?? {};
  }

  private remove(id: string): void {
    this.builds.remove(id);
    if (this.state.shown === id) {
      this.show(null);
    }
  }

  private end(build: Build): void {
    if (this.state.shown === build.id) {
      this.loadChanges();
    }
    // The destination now has the image of the build.
    void this.environment.plan();
    this.endedSignal.emit(build);
  }

  private closeForgotten(build: Build): void {
    if (this.state.shown === build.id) {
      this.show(null);
      this.store.set({ forgotten: build });
    }
  }

  /** Load everything again if an earlier attempt failed: a server that sends events also answers other requests. */
  private recover(): void {
    if (this.state.absent) {
      void this.refresh();
    }
  }

  /** Load the changes since the previous image of the same environment, for the build that is displayed. */
  private loadChanges(): void {
    const build = shownBuild(this.state);
    const before = build?.result && previousImage(this.state.builds, build.request.prefix, build.created);
    if (build && before) {
      const isLatest = this.changes.next();
      void this.difference(before, build).then(since => isLatest() && this.store.set({ since }));
    }
  }

  private async difference(before: Build, after: Build): Promise<Comparison> {
    try {
      const { changes } = await this.server.difference(lockDigestOf(before), lockDigestOf(after));
      return { before, after, changes, fault: null };
    } catch (error) {
      return { before, after, changes: null, fault: faultOf(error) };
    }
  }
}

/** The digest of the lock file from which a build was made. */
function lockDigestOf({ request, result }: Build): string {
  return result?.environment || request.lockfile;
}
