/** Which kernel the panel follows: that of the notebook in front. */

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { Subject } from './model/state';

/** Say the notebook's kernel now and whenever it changes. */
export function followKernel(notebooks: INotebookTracker, say: (subject: Subject | null) => void): void {
  let panel: NotebookPanel | null = null;
  const tell = (): void => say(panel && subjectOf(panel));
  const turn = (): void => {
    panel?.sessionContext.kernelChanged.disconnect(tell);
    panel?.title.changed.disconnect(tell);
    panel = notebooks.currentWidget;
    panel?.sessionContext.kernelChanged.connect(tell);
    panel?.title.changed.connect(tell);
    tell();
  };
  notebooks.currentChanged.connect(turn);
  turn();
}

function subjectOf(panel: NotebookPanel): Subject | null {
  const kernel = panel.sessionContext.session?.kernel;
  return kernel ? { source: { kernel_id: kernel.id }, title: panel.title.label } : null;
}
