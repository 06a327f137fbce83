/** The extension: the command and where it is offered, the panel, the status bar's item and the notifications. */

import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Announcer } from './announce';
import { RestServer } from './api/server';
import { containerIcon } from './icons';
import { followKernel } from './kernel';
import { remember } from './memory';
import { PanelModel } from './model/panel';
import { activeBuild } from './model/state';
import { applySettings } from './settings';
import { StatusItem } from './status';
import { DOMAIN, OPEN, PANEL, PLUGIN } from './tokens';
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
    IStateDB
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
    states: IStateDB | null
  ) => {
    performance.mark(`${PLUGIN}:begin`);
    const translator = translatorOrNull ?? nullTranslator;
    const trans = translator.load(DOMAIN);
    const server = new RestServer(app.serviceManager.serverSettings);
    const model = new PanelModel(server);
    document.addEventListener('visibilitychange', () => server.updates.wake());
    const panel = new PanelWidget(model, translator);
    const open = (id: string | null): void => {
      app.shell.activateById(PANEL);
      if (id) {
        model.show(id);
      }
    };

    app.shell.add(panel, 'right', { rank: 800, type: 'Containerize environment' });
    restorer?.add(panel, PANEL);
    app.commands.addCommand(OPEN, {
      label: trans.__('Containerize Environment'),
      caption: trans.__('Make a container image of this kernel’s conda environment'),
      icon: containerIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => open(null)
    });
    palette?.addItem({ command: OPEN, category: trans.__('Kernel Operations') });
    if (notebooks) {
      followKernel(notebooks, subject => model.choose(subject, panel.isVisible));
    }
    statusBar?.registerStatusItem(`${PLUGIN}:status`, {
      item: new StatusItem(model, open, trans),
      align: 'left',
      rank: 100,
      isActive: () => activeBuild(model.state) !== null,
      activeStateChanged: model.changed
    });

    const announcer = new Announcer(model, () => panel.isVisible, open, trans);
    void app.restored.then(async () => {
      if (settings) {
        void settings.load(PLUGIN).then(loaded => applySettings(loaded, model, announcer, trans));
      }
      if (states) {
        await remember(model, states);
      }
    });
    performance.measure(PLUGIN, `${PLUGIN}:begin`);
  }
};

export default plugin;
