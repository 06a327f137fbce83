/** The kernel whose environment the panel displays: the kernel of the current notebook. */

import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { Subject } from './model/state';

/** Call `report` with the kernel of the current notebook, now and whenever it changes. */
export function followKernel(notebooks: INotebookTracker, report: (subject: Subject | null) => void): void {
  let panel: NotebookPanel | null = null;
  const reportKernel = (): void => report(panel && subjectOf(panel));
  const switchPanel = (): void => {
    panel?.sessionContext.kernelChanged.disconnect(reportKernel);
    panel?.title.changed.disconnect(reportKernel);
    panel = notebooks.currentWidget;
    panel?.sessionContext.kernelChanged.connect(reportKernel);
    panel?.title.changed.connect(reportKernel);
    reportKernel();
  };
  notebooks.currentChanged.connect(switchPanel);
  switchPanel();
}

/** The kernel of a notebook or a console; null if it has none. */
export function subjectOf(panel: Pick<NotebookPanel, 'sessionContext' | 'title'> & Partial<Pick<NotebookPanel, 'context'>>): Subject | null {
  const kernel = panel.sessionContext.session?.kernel;
  // A collaboration server puts its drive before the path.
  const path = panel.context?.path.replace(/^\w+:/, '');
  return kernel ? { source: { kernel_id: kernel.id }, title: panel.title.label, ...(path && { path }) } : null;
}
