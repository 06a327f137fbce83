/** The kernel of the current notebook, and the kernelspecs of the launcher, as the model uses them. */

import type { INotebookTracker } from '@jupyterlab/notebook';
import type { KernelSpec } from '@jupyterlab/services';

import type { Kernels } from './model/trial';

export function notebookKernels(notebooks: INotebookTracker | null, kernelspecs: KernelSpec.IManager): Kernels {
  return {
    current: () => {
      const panel = notebooks?.currentWidget;
      const name = panel?.sessionContext.session?.kernel?.name;
      return panel && name ? { name, title: panel.sessionContext.kernelDisplayName, path: panel.context.path } : null;
    },
    use: async name => {
      await notebooks?.currentWidget?.sessionContext.changeKernel({ name });
    },
    refresh: () => kernelspecs.refreshSpecs()
  };
}
