/** The body of a dialog that asks for several texts. */

import type { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

export class Fields extends Widget implements Dialog.IBodyWidget<string[]> {
  private readonly inputs: HTMLInputElement[] = [];

  constructor(fields: readonly { label: string; text: string }[]) {
    super();
    this.addClass('jp-CondaBuild-dialog');
    for (const { label, text } of fields) {
      const field = document.createElement('label');
      const input = document.createElement('input');
      input.className = 'jp-mod-styled';
      input.value = text;
      input.required = true;
      input.spellcheck = false;
      field.append(label, input);
      this.node.append(field);
      this.inputs.push(input);
    }
  }

  getValue(): string[] {
    return this.inputs.map(({ value }) => value.trim());
  }
}
