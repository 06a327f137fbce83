/** The panel's settings in JupyterLab. Settings of the server are in `c.CondaBuild`. */

import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { PartialJSONObject, PartialJSONValue } from '@lumino/coreutils';

import type { Announcer } from './announce';
import type { PanelModel } from './model/panel';
import type { Form } from './model/state';

export function applySettings(
  settings: ISettingRegistry.ISettings,
  model: PanelModel,
  announcer: Announcer,
  trans: TranslationBundle
): void {
  const apply = (): void => {
    // JupyterLab's server translates schemas only with installed language packs. A saved schema is loaded again, so this is repeated.
    Object.assign(settings.schema, translated(settings.schema, trans));
    const { composite } = settings;
    const text = (key: string): string => (typeof composite[key] === 'string' ? composite[key] : '');
    announcer.enabled = composite['notify'] !== false;
    announcer.desktop.enable(composite['desktop'] === true);
    model.prefer({
      destination: (text('destination').replace('auto', '')) as Form['destination'],
      tagStyle: text('tag') as Form['tagStyle'],
      base: text('base'),
      include: text('include'),
      strict: composite['strict'] === true
    });
  };
  settings.changed.connect(apply);
  apply();
}

/** The members of a schema that are displayed. */
const WORDS = ['title', 'description', 'jupyter.lab.setting-icon-label'];

function translated(value: PartialJSONObject, trans: TranslationBundle): PartialJSONObject {
  const each = (key: string, member: PartialJSONValue | undefined): PartialJSONValue | undefined => {
    if (typeof member === 'string') {
      return WORDS.includes(key) ? trans._p('schema', member) : member;
    }
    if (Array.isArray(member)) {
      return member.map(item => each('', item) ?? null);
    }
    return typeof member === 'object' && member !== null ? translated(member, trans) : member;
  };
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, each(key, member)]));
}
