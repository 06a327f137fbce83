/** Where JupyterLab offers the panel: the command palette, the launcher, and the toolbars of notebooks and consoles. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ToolbarButton, type ICommandPalette, type IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import type { ILauncher } from '@jupyterlab/launcher';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { containerIcon } from './icons';
import { subjectOf } from './kernel';
import type { PanelModel } from './model/panel';
import { OPEN, OPEN_IMAGE } from './tokens';

export function addEntrances(
  app: JupyterFrontEnd,
  model: PanelModel,
  open: () => void,
  isVisible: () => boolean,
  trans: TranslationBundle,
  places: { palette: ICommandPalette | null; launcher: ILauncher | null; toolbars: IToolbarWidgetRegistry | null }
): void {
  app.commands.addCommand(OPEN, {
    // The palette finds the words that people type.
    label: args =>
      args['isPalette']
        ? trans.__('Containerize Environment: Share a Conda Environment as a Docker Image')
        : trans.__('Containerize Environment'),
    caption: trans.__('Make a container image of this kernel’s conda environment'),
    icon: containerIcon,
    describedBy: { args: { type: 'object', properties: { isPalette: { type: 'boolean' } } } },
    execute: open
  });
  app.commands.addCommand(OPEN_IMAGE, {
    label: args => (args['isPalette'] ? trans.__('Open a Container Image: Add Its Kernel or Run It') : trans.__('Open an Image…')),
    caption: trans.__('Look into a container image that somebody has shared, and use its kernel'),
    icon: containerIcon,
    describedBy: { args: { type: 'object', properties: { isPalette: { type: 'boolean' } } } },
    execute: () => {
      open();
      model.openImage();
    }
  });
  places.palette?.addItem({ command: OPEN_IMAGE, args: { isPalette: true }, category: trans.__('Kernel Operations') });
  places.launcher?.add({ command: OPEN_IMAGE, category: 'Other', rank: 51 });
  places.palette?.addItem({ command: OPEN, args: { isPalette: true }, category: trans.__('Kernel Operations') });
  places.launcher?.add({ command: OPEN, category: 'Other', rank: 50 });
  const button = (onClick: () => void): ToolbarButton =>
    new ToolbarButton({ icon: containerIcon, tooltip: trans.__('Containerize Environment'), onClick });
  // A button displays the environment of its notebook or console, which may not be the current one.
  places.toolbars?.addFactory<NotebookPanel>('Notebook', 'containerize', notebook =>
    button(() => {
      app.shell.activateById(notebook.id);
      model.choose(subjectOf(notebook), isVisible(), true);
      open();
    })
  );
  places.toolbars?.addFactory<Widget & Pick<NotebookPanel, 'sessionContext'>>('ConsolePanel', 'containerize', console =>
    button(() => {
      open();
      void console.sessionContext.ready.then(() => {
        const subject = subjectOf(console);
        if (subject) {
          model.pick(subject);
        }
      });
    })
  );
}
