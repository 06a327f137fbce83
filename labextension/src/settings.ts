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
    const preferred: Partial<Form> = {
      destination: (text('destination').replace('auto', '')) as Form['destination'],
      tagStyle: text('tag') as Form['tagStyle'],
      base: text('base'),
      include: text('include'),
      strict: composite['strict'] === true,
      check: composite['check'] !== false
    };
    // What a person has chosen in the form stays if another setting changes.
    const changed = Object.entries(preferred).filter(([key, value]) => value !== applied[key as keyof Form]);
    applied = preferred;
    model.prefer(Object.fromEntries(changed));
  };
  let applied: Partial<Form> = {};
  settings.changed.connect(apply);
  apply();
  model.changed.connect(() => {
    // The checkbox of the panel is the setting: it outlives the page.
    const { check } = model.state.form;
    if (check !== applied.check) {
      applied = { ...applied, check };
      void settings.set('check', check);
    }
  });
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
