/** The panel's model: it takes the actions of a person and the answers of the server, and changes the state. */

import { Signal, type ISignal } from '@lumino/signaling';

import type { Build, BuildRequest, Login } from '../api/contract';
import type { Server } from '../api/server';
import { BuildList } from './buildList';
import { Checks } from './checks';
import { Choices } from './choices';
import { Comparisons } from './comparisons';
import { Deciding } from './deciding';
import { Environment } from './environment';
import { ExportedFiles } from './exports';
import { faultOf } from './fault';
import { Generation } from './generation';
import { Looking } from './looking';
import { News, type Refusal } from './news';
import { OpenedImages } from './openedImage';
import { Registries } from './registries';
import { contentsRequest, formAgain, formRequest, imageOf, rebaseRequest, sameAgain } from './request';
import { shownBuild, type Form, type PanelState, type Subject } from './state';
import { Store } from './store';
import { NO_KERNELS, Trials, type Kernels } from './trial';

export class PanelModel {
  private readonly store = new Store();
  /** What a person leaves out or takes. */
  readonly deciding: Deciding;
  /** What happened while the panel was closed or displayed another view. */
  readonly news: News;
  /** Kernels of images in the launcher and in the current notebook. */
  readonly trials: Trials;
  /** The image that a person opens by its name. */
  readonly images: OpenedImages;
  /** Whether the modules of new images can be imported. */
  readonly checks: Checks;
  /** Files for an image. */
  readonly exports: ExportedFiles;
  private readonly environment: Environment;
  private readonly builds: BuildList;
  private readonly endedSignal = new Signal<this, Build>(this);
  private readonly refusedSignal = new Signal<this, Refusal>(this);
  private readonly comparisons: Comparisons;
  private readonly choices: Choices;
  private readonly registries: Registries;
  /** The view that is displayed. */
  private readonly views = new Generation();
  private readonly looking = new Looking(() => this.look());

  constructor(
    private readonly server: Server,
    kernels: Kernels = NO_KERNELS
  ) {
    this.news = new News(this.store);
    this.trials = new Trials(server, this.store, kernels);
    this.images = new OpenedImages(server, this.store, this.trials);
    this.checks = new Checks(server, this.store);
    this.exports = new ExportedFiles(server);
    this.registries = new Registries(server, this.store);
    this.environment = new Environment(server, this.store, () => void this.registries.check());
    this.deciding = new Deciding(this.environment, this.store, change => this.edit(change));
    this.choices = new Choices(server, this.store);
    this.comparisons = new Comparisons(server, this.store);
    this.builds = new BuildList(server, this.store, {
      ended: build => this.end(build),
      forgotten: build => this.closeForgotten(build),
      // A server that sends events also answers the requests that failed earlier.
      connected: () => void (this.state.absent && this.refresh())
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
    this.attend(false);
    this.environment.dispose();
    this.images.dispose();
    this.checks.dispose();
    this.builds.dispose();
    this.store.dispose();
    Signal.clearData(this);
  }

  /** Load everything from the server again. */
  async refresh(): Promise<void> {
    await this.loadBuilds();
    if (!this.state.absent) {
      await Promise.all([this.environment.loadStatus(), this.environment.read(), this.registries.load()]);
    }
  }

  async loadBuilds(): Promise<void> {
    await this.builds.load();
  }

  /**
   * The current notebook has another kernel.
   *
   * @param notebook - The kernel; null if no notebook has a kernel.
   * @param own - Whether the person asked for the environment of this notebook, and not for a chosen one.
   * @param read - Whether to read its environment now; false while the panel is hidden.
   */
  choose(notebook: Subject | null, read: boolean, own = false): void {
    this.display(this.choices.follow(notebook, own), read);
  }

  /** Load the environments to choose from. */
  async loadChoices(): Promise<void> {
    await this.choices.load();
  }

  /** Display an environment that the person has chosen; with null, that of the current notebook. */
  pick(choice: Subject | null): void {
    this.show(null);
    this.display(this.choices.choose(choice), true);
  }

  private display(subject: Subject | null, read: boolean): void {
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

  /** Ask the server again what works there. */
  async probe(): Promise<void> {
    await this.environment.loadStatus();
  }

  async readEnvironment(): Promise<void> {
    await this.environment.read();
  }

  /** Look at the environment and at the builds while a person sees the panel. A changed environment is read again. */
  attend(sees: boolean): void {
    this.store.set({ attended: sees });
    this.looking.attend(sees);
  }

  private look(): void {
    void this.builds.discover();
    if (!this.state.shown && !this.state.comparison && !this.state.opened && !this.state.starting) {
      void this.environment.check();
    }
  }

  /** Change the form as a person does. */
  edit(change: Partial<Form>): void {
    this.store.set({ startFault: null, outdated: false });
    this.environment.edit(change);
  }

  /** Change the form as the settings of JupyterLab do. */
  prefer(change: Partial<Form>): void {
    this.environment.prefer(change);
  }

  /** Build the image that the form describes, unless the environment is no longer the one that the person sees. */
  async start(): Promise<void> {
    const before = this.state;
    const { snapshot, subject } = before;
    // The form has no name for its image until the environment has been read.
    if (!snapshot || !subject) {
      return;
    }
    const request = formRequest(snapshot, before);
    const isDisplayed = this.views.current();
    // The snapshot in sight lacks a choice of a moment ago.
    const { isChosenAnew } = this.environment;
    this.store.set({ starting: true, startFault: null, outdated: false });
    let now;
    try {
      now = await this.server.contents(contentsRequest(subject.source, this.state));
    } catch (error) {
      this.refuse(request, error, isDisplayed());
      return;
    }
    const isSame = now.identity === snapshot.identity || (isChosenAnew && now.digest === snapshot.digest);
    if (now.prefix === snapshot.prefix && isSame) {
      await this.post(formRequest({ ...snapshot, identity: now.identity }, before), isDisplayed);
    } else if (isDisplayed()) {
      this.store.set({ starting: false, outdated: true });
      await this.environment.take(now);
    } else {
      this.refuse(request, { code: 'environment_changed', message: snapshot.prefix, hint: '' }, false);
    }
  }

  /** Display the form with the values of an ended build of the environment, and more packages of Debian. */
  editAgain({ request }: Build, packages: readonly string[] = []): void {
    this.show(null);
    this.edit(formAgain(request, this.state, packages));
  }

  /** Build the image of a build again, with more packages of Debian in its base. */
  async addPackages(build: Build, packages: readonly string[]): Promise<void> {
    this.editAgain(build, packages);
    await this.start();
  }

  /** The URL of the explanation of a warning. */
  whyUrl(why: string): string {
    return this.server.whyUrl(why);
  }

  /** Repeat a build, from the current environment or from the lock file of the build. */
  async retry(build: Build): Promise<void> {
    await this.post(sameAgain(build));
  }

  /** Put the layers of an image on another base image. */
  async rebase(build: Build, base: string, target: string): Promise<void> {
    await this.post(rebaseRequest(build, base, target));
  }

  /** Rebuild an image from its own lock file, and compare both images. */
  async verify(build: Build): Promise<void> {
    await this.post({ command: 'verify', reference: imageOf(build) });
  }

  /**
   * Test a login at a registry, and keep it for the user; then compare the plan with the registry again.
   *
   * The password is in no state. The promise of a login that is refused is rejected.
   */
  async signIn(registry: string, user: string, password: string): Promise<Login> {
    const login = await this.server.login({ registry, user, password });
    void this.environment.loadStatus();
    void Promise.all([this.registries.load(), this.registries.check(true)]);
    void this.environment.plan();
    return login;
  }

  /** The URL of the archive of a build. */
  archiveUrl(build: Build): string {
    return this.server.archiveUrl(build.id);
  }

  async cancel(id: string): Promise<void> {
    const isDisplayed = this.views.current();
    try {
      this.builds.add(await this.server.cancel(id));
    } catch (error) {
      this.refuse(this.builds.find(id)?.request ?? {}, error, isDisplayed());
    }
  }

  /** Delete an ended build from the history; its image is kept. */
  async forget(id: string): Promise<void> {
    const isDisplayed = this.views.current();
    const asked = this.builds.find(id)?.request ?? {};
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
    this.comparisons.leave();
    this.images.close();
    this.store.set({ shown: id, since: null, comparison: null, forgotten: null });
    if (id) {
      this.news.removeBuild(id);
      this.builds.follow(id);
      void this.checks.load();
      this.comparisons.loadChanges();
    }
  }

  /** Display the environment of the current notebook, or go on displaying a build of it. */
  showOwn(): void {
    const build = shownBuild(this.state);
    this.endComparison();
    if (!build || build.request.prefix !== this.state.snapshot?.prefix) {
      this.show(null);
    }
  }

  /** Display the field for the name of an image, and what is in the image. */
  openImage(): void {
    this.show(null);
    this.images.open();
  }

  /** Display the environment, with an image as the base of its own image. */
  buildOn(reference: string): void {
    this.show(null);
    this.edit({ base: reference });
  }

  /** Display the differences between two builds. */
  async compare(before: Build, now: Build): Promise<void> {
    this.leaveView();
    await this.comparisons.compare(before, now);
  }

  endComparison(): void {
    if (this.state.comparison) {
      this.leaveView();
      this.store.set({ comparison: null });
    }
  }

  private async post(request: BuildRequest, isDisplayed = this.views.current()): Promise<void> {
    if (isDisplayed()) {
      this.store.set({ starting: true, startFault: null });
    }
    try {
      const build = await this.server.start(request);
      this.builds.add(build);
      this.checks.started(build);
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
      const refused = { asked, fault: faultOf(error) };
      this.news.add({ refused });
      this.refusedSignal.emit(refused);
    }
  }

  /** Leave the view with its errors; answers to its requests no longer change what is displayed. */
  private leaveView(): void {
    this.views.next();
    this.trials.forget();
    this.store.set({ starting: false, startFault: null, outdated: false });
  }

  private remove(id: string): void {
    this.builds.remove(id);
    this.news.removeBuild(id);
    if (this.state.shown === id) {
      this.show(null);
    }
  }

  private end(build: Build): void {
    if (this.state.shown === build.id) {
      this.comparisons.loadChanges();
    }
    if (this.state.shown !== build.id || this.state.comparison) {
      this.news.add({ ended: build });
    }
    this.checks.ended(build);
    // The destination now has the image of the build.
    void this.environment.plan();
    this.endedSignal.emit(build);
  }

  private closeForgotten(build: Build): void {
    this.news.removeBuild(build.id);
    if (this.state.shown === build.id) {
      this.show(null);
      this.store.set({ forgotten: build });
    }
  }
}
