/** The extension: the command and where it is offered, the panel, the status bar's item and the notifications. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Announcer } from './announce';
import { RestServer } from './api/server';
import { addEntrances } from './entrances';
import { followKernel } from './kernel';
import { rememberBuilds, rememberChoices } from './memory';
import { PanelModel } from './model/panel';
import { activeBuilds } from './model/state';
import { notebookKernels } from './notebookKernel';
import { applySettings } from './settings';
import { StatusItem } from './status';
import { DOMAIN, PANEL, PLUGIN } from './tokens';
import { PanelWidget } from './widget';

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN,
  description: 'Turns the conda environment of a kernel into a container image',
  autoStart: true,
  optional: [
    ITranslator,
    INotebookTracker,
    ICommandPalette,
    ILayoutRestorer,
    ISettingRegistry,
    IStatusBar,
    IStateDB,
    IToolbarWidgetRegistry,
    ILauncher
  ],
  // No request is sent here. The first request is sent when the panel is displayed, or if a build was running when the page was closed.
  activate: (
    app: JupyterFrontEnd,
    translatorOrNull: ITranslator | null,
    notebooks: INotebookTracker | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    statusBar: IStatusBar | null,
    states: IStateDB | null,
    toolbars: IToolbarWidgetRegistry | null,
    launcher: ILauncher | null
  ) => {
    performance.mark(`${PLUGIN}:begin`);
    const translator = translatorOrNull ?? nullTranslator;
    const trans = translator.load(DOMAIN);
    const server = new RestServer(app.serviceManager.serverSettings);
    const model = new PanelModel(server, notebookKernels(notebooks, app.serviceManager.kernelspecs));
    const panel = new PanelWidget(model, translator, {
      folder: () => PathExt.dirname(notebooks?.currentWidget?.context.localPath ?? '') || '.',
      showFile: path => void app.commands.execute('filebrowser:go-to-path', { path })
    });
    const open = (id: string | null): void => {
      app.shell.activateById(PANEL);
      // The command palette and a notebook that becomes the current one take the focus after the command.
      setTimeout(() => panel.activate());
      if (id) {
        model.show(id);
      } else {
        model.showOwn();
      }
    };
    document.addEventListener('visibilitychange', () => {
      server.updates.wake();
      panel.attend();
    });

    app.shell.add(panel, 'right', { rank: 800, type: 'Containerize environment' });
    restorer?.add(panel, PANEL);
    addEntrances(app, model, () => open(null), () => panel.isVisible, trans, { palette, launcher, toolbars });
    if (notebooks) {
      followKernel(notebooks, subject => model.choose(subject, panel.isVisible));
    }
    statusBar?.registerStatusItem(`${PLUGIN}:status`, {
      item: new StatusItem(model, open, trans),
      align: 'left',
      rank: 100,
      isActive: () => activeBuilds(model.state).length > 0,
      activeStateChanged: model.changed
    });

    const announcer = new Announcer(model, () => panel.isVisible, open, trans);
    void app.restored.then(async () => {
      if (settings) {
        void settings.load(PLUGIN).then(loaded => applySettings(loaded, model, announcer, trans));
      }
      rememberChoices(model);
      if (states) {
        await rememberBuilds(model, states);
      }
    });
    performance.measure(PLUGIN, `${PLUGIN}:begin`);
  }
};

export default plugin;
