/** What a person set for the panel; what goes into images is set on the server, in `c.CondaBuild`. */

import type { ISettingRegistry } from '@jupyterlab/settingregistry';

import type { Announcer } from './announce';
import type { PanelModel } from './model/panel';
import type { Form } from './model/state';

export function applySettings(settings: ISettingRegistry.ISettings, model: PanelModel, announcer: Announcer): void {
  const apply = (): void => {
    const { composite } = settings;
    const text = (key: string): string => (typeof composite[key] === 'string' ? composite[key] : '');
    announcer.enabled = composite['notify'] !== false;
    model.prefer({
      destination: text('destination') as Form['destination'],
      base: text('base'),
      include: text('include'),
      strict: composite['strict'] === true
    });
  };
  settings.changed.connect(apply);
  apply();
}
