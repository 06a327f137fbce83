/** The notebooks and the launcher of a fake JupyterLab. */

import type { Kernels, NamedKernel } from '../src/model/trial';

export class FakeKernels implements Kernels {
  /** The kernel of the current notebook. */
  kernel: (NamedKernel & { path: string }) | null = { name: 'python3', title: 'Python 3', path: 'analysis.ipynb' };
  /** What happened, in order. */
  done: string[] = [];

  current(): (NamedKernel & { path: string }) | null {
    return this.kernel;
  }

  async use(name: string): Promise<void> {
    this.done.push(`use ${name}`);
    this.kernel = this.kernel && { ...this.kernel, name, title: name };
  }

  async refresh(): Promise<void> {
    this.done.push('refresh');
  }
}
