/** The panel's icon: a container with its layers. */

import { LabIcon } from '@jupyterlab/ui-components';

const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
  <g class="jp-icon3" fill="#616161">
    <path d="M8 1 1.5 4.25 8 7.5l6.5-3.25z"/>
    <path d="M2.9 6.6 1.5 7.3 8 10.55l6.5-3.25-1.4-.7L8 9.15z"/>
    <path d="M2.9 9.65l-1.4.7L8 13.6l6.5-3.25-1.4-.7L8 12.2z"/>
  </g>
</svg>`;

export const containerIcon = new LabIcon({ name: 'jupyter-condabuild:container', svgstr });
