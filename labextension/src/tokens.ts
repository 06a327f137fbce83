/** The ids under which JupyterLab knows the extension, its commands and its panel. */

export const PLUGIN = 'jupyter-condabuild:plugin';
export const OPEN = 'jupyter-condabuild:open';
export const OPEN_IMAGE = 'jupyter-condabuild:open-image';
export const DOMAIN = 'jupyter_condabuild';
export const PANEL = 'jupyter-condabuild-panel';
export const STATE = 'jupyter-condabuild:panel';
