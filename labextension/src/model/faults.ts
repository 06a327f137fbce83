/** The warnings and errors of the server whose code the panel knows: what each means, to be said in other languages. */

export interface Known {
  /** What it is about. */
  what: string;
  /** The server's usual hint, word for word. */
  hint: string;
  /** Whether the server's message ends in names after a colon, with nothing before it that `what` does not say. */
  names?: true;
}

const WARNINGS: Record<string, Known> = {
  'bytecode-of-installer': {
    what: "Bytecode is the installer's choice",
    hint: 'The layers engine leaves it out (--engine layers --no-bytecode).'
  },
  'conda-overwritten-by-pip': {
    what: 'pip overwrote files of a conda package',
    hint: "The image gets pip's files. To be rid of the mixture, remove both and install the package once."
  },
  'conda-without-hash': {
    what: 'Conda packages without a hash',
    hint: 'Reinstall them from a channel to get their hashes; a lock file without them proves less.',
    names: true
  },
  'editable-install': {
    what: 'An editable install',
    hint: 'The image gets a copy of the code as it is now; a wheel or a commit can be installed again.'
  },
  'local-channel': {
    what: 'Packages from a channel on this machine',
    hint: 'Others cannot install from the lock file; upload the packages to a channel that they can reach.',
    names: true
  },
  'local-install': {
    what: 'Installed from a local file or folder',
    hint: 'The image gets its installed files; others cannot install it from the lock file.'
  },
  'missing-files': {
    what: 'Files of packages are gone',
    hint: 'They will not be in the image either; reinstall their packages to get them back.',
    names: true
  },
  'modified-files': {
    what: 'Files of packages changed since they were installed',
    hint: 'The image gets them as they are now; others cannot get them from a lock file.',
    names: true
  },
  'nested-environment': {
    what: 'Environments inside this one',
    hint: 'An image is of one environment: build theirs separately.',
    names: true
  },
  'package-cache-damaged': {
    what: 'Files in the package cache were changed',
    hint: "'conda clean --packages' removes the damaged copies."
  },
  'pip-without-hash': {
    what: 'pip packages without a hash',
    hint: 'pip records no hash of what it takes from an index. The image gets the installed files; a lock file alone cannot prove that a reinstall is the same.',
    names: true
  },
  'pip-without-record': {
    what: 'A pip package without a list of its files',
    hint: 'Its files are reported as untracked; reinstall it with a current pip.'
  },
  'post-link-script': {
    what: 'Packages that ran a script when they were installed',
    hint: 'Such files belong to no package, and nobody can prove that they come out the same elsewhere.'
  },
  'post-link-script-not-run': {
    what: 'A script of a package does not run',
    hint: 'Build from an environment where it ran, and the image gets what it made.'
  },
  unreadable: {
    what: 'Files that cannot be read',
    hint: 'The image cannot hold what only others may read; make it readable, or remove it.',
    names: true
  },
  'untracked-files': {
    what: 'Files that belong to no package',
    hint: 'The image gets a copy of them; others cannot get them from a lock file.',
    names: true
  },
  variables: {
    what: 'The environment sets variables',
    hint: 'They may hold secrets and stay out of the image unless you ask for them.',
    names: true
  },
  'vcs-install': {
    what: 'Built from version control',
    hint: 'The image gets its installed files; a rebuild elsewhere may differ.'
  }
};

const ERRORS: Record<string, Known> = {
  bad_reference: {
    what: 'The name of the image is not valid',
    hint: 'Write it as registry/repository:tag, for example registry.lab.org/team/env:latest.'
  },
  base_unavailable: {
    what: 'The base image cannot be had',
    hint: "Name another base: a reference, oci-archive:FILE, or docker-daemon:NAME for one of the engine's."
  },
  blob_gone: {
    what: 'The registry has lost part of an image',
    hint: 'The registry has lost part of an image: build that image anew, and tell whoever runs the registry.'
  },
  content_mismatch: {
    what: 'Bytes that are not what they should be',
    hint: 'The copy is damaged; try again, and tell whoever runs the registry if it stays.'
  },
  disk_full: {
    what: 'No space is left',
    hint: "Free some space, run 'jupyter condabuild prune', or set store_dir to another disk."
  },
  engine_fault: {
    what: 'The container engine refuses',
    hint: "Look at the engine's own log, or use --push or -o, which need no engine."
  },
  engine_unavailable: {
    what: 'No container engine answers',
    hint: 'Start Docker or Podman, set DOCKER_HOST, or use --push or -o, which need no engine.'
  },
  interrupted: {
    what: 'The build was interrupted',
    hint: 'Build again: what it had done is kept.'
  },
  not_a_conda_kernel: {
    what: 'This kernel does not run in a conda environment',
    hint: 'Choose a kernel that runs in a conda environment, or install ipykernel in one and select it.'
  },
  not_ended: {
    what: 'The build has not ended',
    hint: 'Cancel it first, or wait until it has ended.'
  },
  not_reproducible: {
    what: 'Something in the environment cannot be reproduced',
    hint: 'Mend what the report lists, or build without --strict.'
  },
  not_verified: {
    what: 'The image is not what its own lock file makes',
    hint: 'Build it anew from its lock file, and ask who pushed it what they changed.'
  },
  overlay_too_large: {
    what: 'The files of no package are too large',
    hint: 'Move data out of the environment, or raise overlay_max_bytes (CONDABUILD_OVERLAY_MAX_BYTES).'
  },
  package_mismatch: {
    what: 'A package is not what its hash promises',
    hint: "Remove the package from the package cache ('conda clean --packages') and try again."
  },
  package_not_found: {
    what: 'A package cannot be found',
    hint: 'Check that the channel is reachable and still has this build, or update the package.'
  },
  prefix_not_allowed: {
    what: 'The server may not build this environment',
    hint: 'Choose an environment below the folders of c.CondaBuild.allow_prefixes.'
  },
  queue_full: {
    what: 'Too many builds are waiting',
    hint: 'Try again when a build has ended, or cancel one.'
  },
  registry_busy: {
    what: 'The registry gets too many requests',
    hint: 'Wait a little and try again; log in if the registry gives more to those it knows.'
  },
  registry_denied: {
    what: 'The registry does not allow it',
    hint: 'Ask for the right to push to this repository, or choose another one.'
  },
  registry_fault: {
    what: 'The registry has a problem',
    hint: 'The registry has a problem of its own; try again later.'
  },
  registry_not_found: {
    what: 'The registry has no such image',
    hint: "Check the spelling of the image's name and tag."
  },
  registry_too_large: {
    what: 'The registry refuses so much at once',
    hint: "Raise the body size limit of the registry's proxy (nginx: client_max_body_size 0)."
  },
  registry_unauthorized: {
    what: 'The registry wants a login',
    hint: "Log in with 'docker login REGISTRY' or 'podman login REGISTRY' and try again."
  },
  registry_unreachable: {
    what: 'The registry cannot be reached',
    hint: "Check the registry's name, the network and the proxy; a registry without TLS must be listed in insecure_registries."
  },
  store_unwritable: {
    what: 'The store cannot be written',
    hint: 'Set store_dir (or CONDABUILD_STORE_DIR) to a folder that you can write.'
  }
};

export const KNOWN: ReadonlyMap<string, Known> = new Map(Object.entries({ ...WARNINGS, ...ERRORS }));
