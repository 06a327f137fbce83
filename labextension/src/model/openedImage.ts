/** An image that a person opens by its name: what is in it, how it differs from the notebook's environment, and what runs of it. */

import type { Change, Fault, ImageKernel, ImageRun, Inspection, Licenses, SeenImage, Way } from '../api/contract';
import type { Server } from '../api/server';
import { faultOf } from './fault';
import { Generation } from './generation';
import { Recreations, type Recreated } from './recreations';
import type { Store } from './store';
import type { Trials } from './trial';

/** The differences between an environment and the image. */
export interface Differences {
  /** The notebook or the kernelspec of the environment. */
  title: string;
  changes: Change[] | null;
  fault: Fault | null;
}

export interface OpenedImage extends Recreated {
  /** The name, as the person has pasted it. */
  text: string;
  reading: boolean;
  fault: Fault | null;
  /** The description of the image; null until it is known. */
  image: Inspection | null;
  /** Whether the person wants the image to run without an engine, although there is one. */
  withoutEngine: boolean;
  /** Null without an environment to compare with. */
  differences: Differences | null;
  licenses: Licenses | null;
  /** All installed kernels of images; null until they are known. */
  kernels: ImageKernel[] | null;
  /** JupyterLab in a container of the image; null if none runs. */
  run: ImageRun | null;
  runFault: Fault | null;
}

const NOTHING: OpenedImage = {
  text: '',
  reading: false,
  fault: null,
  image: null,
  withoutEngine: false,
  differences: null,
  licenses: null,
  kernels: null,
  run: null,
  runFault: null,
  recreation: null,
  recreationFault: null
};

/** Whether an image starts JupyterLab. */
export function startsLab({ command }: Inspection): boolean {
  return command[0] === 'jupyter' && command[1] === 'lab';
}

/** How an image runs here: the engine is used unless the person decides otherwise. Null if there is no way. */
export function wayOf({ image, withoutEngine }: Pick<OpenedImage, 'image' | 'withoutEngine'>): Way | null {
  return image?.ways.find(way => !withoutEngine || way !== 'engine') ?? null;
}

/** The time between two questions about a run that starts, in milliseconds. */
const RUN_INTERVAL = 1500;

export class OpenedImages {
  private readonly views = new Generation();
  private readonly recreations: Recreations;
  private waiting: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly server: Server,
    private readonly store: Store,
    private readonly trials: Trials
  ) {
    this.recreations = new Recreations(server, change => this.change(change));
  }

  dispose(): void {
    this.leave();
  }

  /** Display the field for the name of an image. */
  open(): void {
    this.views.next();
    this.trials.forget();
    this.store.set({ opened: NOTHING });
    void this.loadKernels();
  }

  /** Display the environment again. What runs goes on. */
  close(): void {
    if (this.store.state.opened) {
      this.leave();
      this.store.set({ opened: null });
    }
  }

  /** Describe the image of the name, without a pull. */
  async read(text: string): Promise<void> {
    const reference = text.trim();
    if (!reference) {
      return;
    }
    const isLatest = this.leave();
    const { signal } = this.views;
    this.trials.forget();
    this.store.set({ opened: { ...NOTHING, text: reference, reading: true, kernels: this.store.state.opened?.kernels ?? null } });
    try {
      const image = await this.server.inspect(reference, signal);
      if (isLatest()) {
        this.change({ image, reading: false });
        await Promise.all([
          this.compare(image, isLatest),
          this.loadLicenses(image, isLatest),
          this.loadRun(image, isLatest),
          this.recreations.load(image, isLatest)
        ]);
      }
    } catch (error) {
      if (isLatest()) {
        this.change({ fault: faultOf(error), reading: false });
      }
    }
  }

  /** Run the image without an engine, or with one again. */
  runWithoutEngine(withoutEngine: boolean): void {
    this.change({ withoutEngine });
  }

  /** Add the kernels of the image to the launcher. */
  async install(): Promise<void> {
    await this.withSeen(async seen => {
      await this.trials.install(seen);
      await this.loadKernels();
    });
  }

  /** Run the current notebook in the image. */
  async runNotebook(): Promise<void> {
    await this.withSeen(async seen => {
      await this.trials.run(seen);
      await this.loadKernels();
    });
  }

  /** Remove a kernel from the launcher. */
  async removeKernel(name: string): Promise<void> {
    try {
      await this.server.removeKernel(name);
    } catch (error) {
      this.change({ fault: faultOf(error) });
    }
    await this.trials.refresh();
    await this.loadKernels();
  }

  /** Start JupyterLab in a container of the image, with a folder below the server's root folder. */
  async runLab(folder: string): Promise<void> {
    const isLatest = this.views.current();
    await this.withSeen(async seen => {
      this.change({ runFault: null });
      try {
        const run = await this.server.startRun({ ...seen, folder });
        if (isLatest()) {
          this.follow(run, isLatest);
        }
      } catch (error) {
        if (isLatest()) {
          this.change({ runFault: faultOf(error) });
        }
      }
    });
  }

  /** End JupyterLab, and remove its container. */
  async stopLab(): Promise<void> {
    const run = this.store.state.opened?.run;
    if (run) {
      clearTimeout(this.waiting);
      this.change({ run: null });
      await this.server.endRun(run.id).catch(error => this.change({ runFault: faultOf(error) }));
    }
  }

  /** Make a conda environment of the image, in a folder below the server's root folder. */
  async recreate(folder: string): Promise<void> {
    const image = this.store.state.opened?.image;
    if (image) {
      await this.recreations.start(image, folder.trim(), this.views.current());
    }
  }

  /** Cancel the environment that is being made. */
  async cancelRecreation(): Promise<void> {
    const recreation = this.store.state.opened?.recreation;
    if (recreation) {
      await this.recreations.cancel(recreation, this.views.current());
    }
  }

  /** Ask no more about what runs of the displayed image. */
  private leave(): () => boolean {
    clearTimeout(this.waiting);
    this.recreations.leave();
    return this.views.next();
  }

  /** The image of the description, by its digest if it is in a registry: its tag may move. */
  private pinned(image: Inspection): string {
    if (/^(docker-daemon|oci-archive|docker-archive):/.test(image.reference)) {
      return image.reference;
    }
    const name = image.reference.replace(/@.*$/, '').replace(/:[^:/]*$/, '');
    return `${name}@${image.digest}`;
  }

  private async compare(image: Inspection, isLatest: () => boolean): Promise<void> {
    const { subject } = this.store.state;
    if (!subject || !image.environment || this.trials.previous) {
      return;
    }
    const { title } = subject;
    this.change({ differences: { title, changes: null, fault: null } });
    const differences = await this.server.difference(subject.source, { reference: this.pinned(image) }).then(
      ({ changes }) => ({ title, changes, fault: null }),
      error => ({ title, changes: null, fault: faultOf(error) })
    );
    if (isLatest()) {
      // A kernel without a conda environment has nothing to compare.
      this.change({ differences: differences.fault?.code === 'not_a_conda_kernel' ? null : differences });
    }
  }

  private async loadLicenses(image: Inspection, isLatest: () => boolean): Promise<void> {
    const licenses = image.environment ? await this.server.licenses({ reference: this.pinned(image) }).catch(() => null) : null;
    if (isLatest()) {
      this.change({ licenses });
    }
  }

  private async loadRun(image: Inspection, isLatest: () => boolean): Promise<void> {
    const runs = await this.server.runs().catch(() => []);
    const run = runs.find(({ digest, state }) => digest === image.digest && state !== 'ended');
    if (run && isLatest()) {
      this.follow(run, isLatest);
    }
  }

  private async loadKernels(): Promise<void> {
    const kernels = await this.server.imageKernels().catch(() => null);
    if (kernels) {
      this.change({ kernels });
    }
  }

  /** Display a run, and ask for its address until it has one. */
  private follow(run: ImageRun, isLatest: () => boolean): void {
    this.change(run.state === 'ended' ? { run: null, runFault: run.fault } : { run });
    if (run.state === 'starting') {
      this.waiting = setTimeout(() => void this.look(run, isLatest), RUN_INTERVAL);
    }
  }

  private async look(before: ImageRun, isLatest: () => boolean): Promise<void> {
    const runs = await this.server.runs().catch(() => [before]);
    if (isLatest()) {
      const run = runs.find(({ id }) => id === before.id);
      if (run) {
        this.follow(run, isLatest);
      } else {
        this.change({ run: null });
      }
    }
  }

  private async withSeen(work: (seen: SeenImage) => Promise<void>): Promise<void> {
    const { opened } = this.store.state;
    const way = opened && wayOf(opened);
    if (opened?.image && way) {
      const { digest, reference } = opened.image;
      await work({ reference, seen: digest, ...(way !== 'engine' && { without_engine: true }) });
    }
  }

  private change(change: Partial<OpenedImage>): void {
    const { opened } = this.store.state;
    if (opened) {
      this.store.set({ opened: { ...opened, ...change } });
    }
  }
}
