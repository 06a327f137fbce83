/** Kernels of images: adds them to the launcher, and gives the kernel of an image to the current notebook, and its own kernel back. */

import type { Fault, ImageKernel, SeenImage } from '../api/contract';
import type { Server } from '../api/server';
import { faultOf } from './fault';
import type { Store } from './store';

/** A kernelspec, with the title that JupyterLab shows. */
export interface NamedKernel {
  name: string;
  title: string;
}

/** What JupyterLab does with kernels. */
export interface Kernels {
  /** The kernelspec of the current notebook's kernel, and the path of the notebook; null without one. */
  current(): (NamedKernel & { path: string }) | null;
  /** Give the current notebook a kernel of another kernelspec. */
  use(name: string): Promise<void>;
  /** Look for new kernelspecs: the launcher shows them. */
  refresh(): Promise<void>;
}

/** A page without a notebook. */
export const NO_KERNELS: Kernels = {
  current: () => null,
  use: () => Promise.resolve(),
  refresh: () => Promise.resolve()
};

/** The kernel of an image that is being added or started, or why it was not. */
export interface Trial {
  /** The image, as the person has named it. */
  reference: string;
  /** Whether the notebook gets the kernel; otherwise only the launcher gets it. */
  inNotebook: boolean;
  fault: Fault | null;
}

export class Trials {
  /** The kernel that each notebook had before it got that of an image, by the path of the notebook. */
  private readonly before = new Map<string, { own: NamedKernel; image: string }>();

  constructor(
    private readonly server: Server,
    private readonly store: Store,
    private readonly kernels: Kernels
  ) {}

  /** Add the kernels of an image to the launcher. Returns them; none if that failed. */
  async install(image: SeenImage): Promise<ImageKernel[]> {
    return (await this.attempt(image.reference, false, () => this.added(image))) ?? [];
  }

  /** Add the kernels of an image, and run the current notebook in the first of them. */
  async run(image: SeenImage): Promise<void> {
    await this.attempt(image.reference, true, async () => this.use(await this.added(image)));
  }

  /** Run the current notebook in the image of a build: this person has built it. */
  async runBuilt({ reference, seen }: SeenImage): Promise<void> {
    await this.attempt(reference, true, async () => {
      const digest = seen || (await this.server.inspect(reference)).digest;
      await this.use(await this.added({ reference, seen: digest }));
    });
  }

  /** The kernel that the current notebook had before; null if it does not have the kernel of an image. */
  get previous(): NamedKernel | null {
    const now = this.kernels.current();
    const before = now && this.before.get(now.path);
    return before?.image === now?.name ? (before?.own ?? null) : null;
  }

  /** Give the current notebook the kernel that it had before. */
  async back(): Promise<void> {
    const { previous } = this;
    if (previous) {
      await this.attempt('', true, () => this.kernels.use(previous.name));
    }
  }

  /** Forget an error. What is being done goes on. */
  forget(): void {
    if (this.store.state.trial?.fault) {
      this.store.set({ trial: null });
    }
  }

  /** Look for kernelspecs again, after one was removed. */
  async refresh(): Promise<void> {
    await this.kernels.refresh();
  }

  private async added(image: SeenImage): Promise<ImageKernel[]> {
    const found = await this.server.installKernels(image);
    await this.kernels.refresh();
    return found;
  }

  private async use([kernel]: ImageKernel[]): Promise<void> {
    const now = this.kernels.current();
    if (kernel && now) {
      const own = this.previous ?? { name: now.name, title: now.title };
      await this.kernels.use(kernel.name);
      this.before.set(now.path, { own, image: kernel.name });
    }
  }

  /** Do one thing at a time, and keep its error in the state. */
  private async attempt<Result>(reference: string, inNotebook: boolean, work: () => Promise<Result>): Promise<Result | undefined> {
    const { trial } = this.store.state;
    if (trial && !trial.fault) {
      return undefined;
    }
    this.store.set({ trial: { reference, inNotebook, fault: null } });
    try {
      const result = await work();
      this.store.set({ trial: null });
      return result;
    } catch (error) {
      this.store.set({ trial: { reference, inNotebook, fault: faultOf(error) } });
      return undefined;
    }
  }
}
