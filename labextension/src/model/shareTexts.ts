/** The server's texts about the commands that use an image: those that the panel translates. */

/** The titles and the sentences of the notes. */
export const SHARE_TEXTS: readonly string[] = [
  'Make the environment without a container',
  'Offer the image on a JupyterHub on Kubernetes',
  'The current folder is /work in the container.',
  'You own the files that are made there.',
  'JupyterLab prints the address to open.',
  'Only this machine can connect to it.',
  'As root, leave out --userns=keep-id.',
  'The current folder has the same path in the container, as always with Apptainer.',
  'The lock file has only conda packages.',
  'The image also has the packages that pip installed.',
  "Docker prints the image's id.",
  "Give this id to 'docker run'.",
  'The environment needs the package jupyterhub in the version of the hub.'
];

/** The program and the tool of a title such as `Run JupyterLab with Docker`; null for another title. */
export function runTitle(title: string): { program: string; tool: string } | null {
  const [, program, tool] = /^Run (.+) with (\w+)$/.exec(title) ?? [];
  return program && tool ? { program, tool } : null;
}

/** The sentences of a note. */
export function sentences(note: string): string[] {
  return note.split(/(?<=\.) /);
}
