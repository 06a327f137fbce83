/** The commands for users of an image, with a tab for each tool. */

import React, { useId, useState } from 'react';

import type { ShareCommand } from '../api/contract';
import { useSurroundings } from './context';
import { CopyButton } from './parts';
import { shareNote, shareTitle } from './words';

const NAMES: Record<string, string> = {
  docker: 'Docker',
  podman: 'Podman',
  apptainer: 'Apptainer',
  conda: 'conda',
  jupyterhub: 'JupyterHub'
};

export function Share(props: { commands: ShareCommand[] }): JSX.Element | null {
  const { trans } = useSurroundings();
  const id = useId();
  const tools = [...new Set(props.commands.map(command => command.tool))];
  const [chosen, choose] = useState(tools[0]);
  const tool = chosen && tools.includes(chosen) ? chosen : tools[0];
  if (!tool) {
    return null;
  }
  const move = (event: React.KeyboardEvent<HTMLDivElement>): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const next = tools[(tools.indexOf(tool) + step + tools.length) % tools.length];
      choose(next);
      event.currentTarget.querySelector<HTMLElement>(`[data-tool="${CSS.escape(next ?? '')}"]`)?.focus();
      event.preventDefault();
    }
  };
  return (
    <div className="jp-CondaBuild-share">
      <div role="tablist" aria-label={trans.__('Share with')} onKeyDown={move}>
        {tools.map(each => (
          <button
            key={each}
            type="button"
            role="tab"
            data-tool={each}
            id={`${id}-${each}`}
            aria-selected={each === tool}
            aria-controls={`${id}-panel`}
            tabIndex={each === tool ? 0 : -1}
            onClick={() => choose(each)}
          >
            {NAMES[each] ?? each}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${tool}`}>
        {props.commands
          .filter(command => command.tool === tool)
          .map(command => (
            <div key={command.title}>
              <p className="jp-CondaBuild-quiet">{shareTitle(trans, command.title)}</p>
              <div className="jp-CondaBuild-code">
                <pre tabIndex={0}>{command.text}</pre>
                <CopyButton text={command.text} label={trans.__('Copy: %1', shareTitle(trans, command.title))} />
              </div>
              {command.note && <p className="jp-CondaBuild-quiet">{shareNote(trans, command.note)}</p>}
            </div>
          ))}
      </div>
    </div>
  );
}
