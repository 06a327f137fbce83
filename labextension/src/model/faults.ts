/** The errors and warnings of the server that the panel can translate, by their code. */

export interface KnownFault {
  /** A short description of the fault. If the panel is in English, the server's message is displayed instead. */
  title: string;
  /** The server's usual hint, word for word. */
  hint: string;
  /** The hint in the words of the panel, where the server's hint names an option of the command line. */
  here?: string;
  /** Whether the server's message is a sentence with the same meaning as `title`, then a colon and names. */
  endsInNames?: true;
}

const WARNINGS: Record<string, KnownFault> = {
  'bytecode-of-installer': {
    title: "Bytecode is the installer's choice",
    hint: 'The layers engine leaves out all bytecode (--engine layers --no-bytecode).'
  },
  'clobbered-files': {
    title: 'Several packages have different files at the same path',
    hint: 'The image shows what the environment shows. Other users get other files from a lock file.'
  },
  'conda-overwritten-by-pip': {
    title: 'pip overwrote files of a conda package',
    hint: "The image contains pip's files. To repair the environment, remove both packages and install only one."
  },
  'conda-without-hash': {
    title: 'Conda packages have no hash',
    hint: 'Reinstall the packages from a channel to get their hashes. Without hashes, a lock file cannot prove that a reinstall gives the same packages.',
    endsInNames: true
  },
  'credentials-left-out': {
    title: 'Files for credentials are not in the image',
    hint: 'To put such a file into the image, add --allow-secret PATH.',
    here: 'Take such a file only if everybody who gets the image may read it.',
    endsInNames: true
  },
  'editable-install': {
    title: 'A package is an editable install',
    hint: 'The image contains a copy of the current code. Only a wheel or a commit can be installed again.'
  },
  'empty-folders': {
    title: 'Empty folders belong to no package',
    hint: 'The image contains them. Other users cannot get them from a lock file.'
  },
  'exclude-without-effect': {
    title: 'An option that leaves something out has no effect',
    hint: 'Write a pattern as in .gitignore, relative to the folder of the environment or of an editable install. Files of packages are never left out.'
  },
  'excluded-changes': {
    title: 'As requested, the image has files as the packages bring them',
    hint: 'The options --exclude and --exclude-editable leave the changes out.',
    endsInNames: true
  },
  'excluded-editable': {
    title: 'As requested, the image does not have editable installs',
    hint: 'The option --exclude-editable leaves them out. A package that imports them does not work in the image.',
    endsInNames: true
  },
  'excluded-files': {
    title: 'As requested, the image does not have files',
    hint: 'The option --exclude leaves them out.',
    endsInNames: true
  },
  'file-modes': {
    title: 'Files have other permissions in the image',
    hint: 'In the image, everybody may read every file, no file has a setuid bit, and only root may write.',
    endsInNames: true
  },
  'local-channel': {
    title: 'Packages come from a channel on this machine',
    hint: 'Other users cannot install from the lock file. Upload the packages to a channel that they can reach.',
    endsInNames: true
  },
  'local-install': {
    title: 'A package was installed from a local file or folder',
    hint: 'The image contains the installed files. Other users cannot install the package from the lock file.'
  },
  'missing-files': {
    title: 'Files of packages are missing',
    hint: 'The image does not contain them either. Reinstall the packages to get the files back.',
    endsInNames: true
  },
  'modified-files': {
    title: 'Files of packages changed since they were installed',
    hint: 'The image contains the changed files. Other users cannot get them from a lock file.',
    endsInNames: true
  },
  'nested-environment': {
    title: 'The environment contains other environments',
    hint: 'An image contains one environment. Build the image of each other environment separately.',
    endsInNames: true
  },
  'package-cache-damaged': {
    title: 'The package cache is damaged',
    hint: "'conda clean --packages' removes the damaged copies."
  },
  'pip-without-hash': {
    title: 'pip packages have no hash',
    hint: 'pip does not record the hash of a package from an index. The image contains the installed files, but a lock file alone cannot prove that a reinstall gives the same files.',
    endsInNames: true
  },
  'pip-without-record': {
    title: 'A pip package has no list of its files',
    hint: 'Its files are reported as untracked. Reinstall the package with a current version of pip.'
  },
  'post-link-script': {
    title: 'Packages ran a script when they were installed',
    hint: 'The files of such a script belong to no package. A script may make different files elsewhere.'
  },
  'post-link-script-not-run': {
    title: 'The script of a package is not run',
    hint: "Build from an environment in which the script ran. The image then gets the script's files."
  },
  'private-packages': {
    title: 'Packages come from channels that need a login',
    hint: 'Everyone who can read the repository gets these packages.',
    endsInNames: true
  },
  'private-packages-made-public': {
    title: 'The image goes to a public registry and contains packages from channels that need a login',
    hint: 'Stop, unless the repository is private, or everybody may have these packages.',
    endsInNames: true
  },
  unreadable: {
    title: 'Some files cannot be read',
    hint: 'The image cannot contain what you cannot read. Make these paths readable, or remove them.',
    endsInNames: true
  },
  'secrets-found': {
    title: 'Files may contain secrets',
    hint: 'Remove the secrets, or leave the files out: --exclude PATH. If they are no secrets, or everyone who gets the image may have them: --allow-secret PATH.',
    endsInNames: true
  },
  'shared-paths': {
    title: 'Several packages have different files at the same path',
    hint: 'The image shows the file of the package that is installed last, as the environment does.'
  },
  'special-files': {
    title: 'Pipes, sockets and devices are not in the image',
    hint: 'The image does not contain them. Programs make them again when they start.'
  },
  'untracked-files': {
    title: 'Files belong to no package',
    hint: 'The image contains a copy of them. Other users cannot get them from a lock file.',
    endsInNames: true
  },
  variables: {
    title: 'The environment sets variables',
    hint: 'The variables may contain secrets. The image does not contain them unless you ask for it (--variables).',
    endsInNames: true
  },
  'vcs-install': {
    title: 'A package was built from version control',
    hint: 'The image contains the installed files. A build of the package on another machine may differ.'
  },
  'dangling-links': {
    title: 'Links lead to no file in the image',
    hint: 'The image contains the links as they are. Remove the links, or replace them with the files.',
    endsInNames: true
  },
  'editable-built': {
    title: 'An editable install is built at each import',
    hint: 'If its compiled code has changed since, import the package once before you build the image.'
  },
  'editable-builds-at-import': {
    title: 'Editable installs cannot be imported in the image',
    hint: "Import the package once, so that it is built, or install the project without --editable: 'pip install --no-deps FOLDER'.",
    endsInNames: true
  },
  'editable-source-missing': {
    title: 'The folder of an editable install does not exist',
    hint: 'Neither this environment nor the image can import it. Remove the package, or install it again.'
  },
  'outside-prefix': {
    title: 'The environment uses files outside of it',
    hint: 'The image does not contain these files. To put them into the image, add --include-outside PATH. If the environment does not need them, add --without-outside PATH.',
    here: 'The image does not contain these files. Take what the environment needs, and leave out the rest.'
  },
  'outside-settings': {
    title: 'Settings name files outside of the environment',
    hint: 'The image contains neither the files nor the variables. Install into the environment what it needs, or mount the files in the container and set the variables there.',
    endsInNames: true
  },
  'outside-taken': {
    title: 'The image contains files from outside of the environment',
    hint: 'Other users cannot get them from a lock file.',
    endsInNames: true
  },
  'root-prefix': {
    title: 'The environment is a base environment',
    hint: 'They hold the package cache, other environments and builds. Build the image of each other environment separately.'
  }
};

const ERRORS: Record<string, KnownFault> = {
  bad_reference: {
    title: 'The name of the image is not valid',
    hint: 'Write the name as registry/repository:tag, for example registry.lab.org/team/env:latest.'
  },
  base_unavailable: {
    title: 'The base image is not available',
    hint: 'Choose another base: a reference, oci-archive:FILE, or docker-daemon:NAME (an image in the engine).'
  },
  blob_gone: {
    title: 'The registry has lost part of an image',
    hint: 'Part of an image is missing. Build that image again, and tell the administrator of the registry.'
  },
  content_mismatch: {
    title: 'Content does not match its digest',
    hint: 'The copy is damaged. Try again. If the error remains, tell the administrator of the registry.'
  },
  disk_full: {
    title: 'No space is left',
    hint: "Free some space, run 'jupyter condabuild prune', or set store_dir to another disk."
  },
  engine_fault: {
    title: 'The container engine reported an error',
    hint: 'Read the log of the engine, or use --push or -o, which need no engine.'
  },
  engine_unavailable: {
    title: 'No container engine is running',
    hint: 'Start Docker or Podman, set DOCKER_HOST, or use --push or -o, which need no engine.'
  },
  environment_changed: {
    title: 'The environment has changed',
    hint: 'Read the environment again, and build it under a name of its own.'
  },
  interrupted: {
    title: 'The build was interrupted',
    hint: 'Build again. The parts that were finished are kept.'
  },
  files_exist: {
    title: 'Files with another content would be replaced',
    hint: 'Replace them, or choose another folder.',
    endsInNames: true
  },
  not_a_conda_kernel: {
    title: 'This kernel does not run in a conda environment',
    hint: 'Choose a kernel of a conda environment, or install ipykernel in a conda environment and select it.'
  },
  not_ended: {
    title: 'The build has not ended',
    hint: 'Cancel the build first, or wait until it has ended.'
  },
  not_reproducible: {
    title: 'The environment cannot be reproduced completely',
    hint: 'Fix the problems that the report lists, or build without --strict.'
  },
  not_verified: {
    title: 'The image does not match its lock file',
    hint: 'Build the image again from its lock file, and ask the person who pushed it about the difference.'
  },
  overlay_too_large: {
    title: 'The files that belong to no package are too large',
    hint: 'Leave data out (--exclude PATH), move it out of the environment, or raise overlay_max_bytes (CONDABUILD_OVERLAY_MAX_BYTES).'
  },
  package_mismatch: {
    title: 'A package does not match its hash',
    hint: "Remove the package from the package cache ('conda clean --packages') and try again."
  },
  package_not_found: {
    title: 'A package cannot be found',
    hint: 'Check that the channel can be reached and still has this package build, or update the package.'
  },
  platform_needed: {
    title: 'The environment is not for Linux, and images are',
    hint: 'Solve the packages again for Linux, and see what changes: --platform linux-64.'
  },
  prefix_not_allowed: {
    title: 'The server may not build this environment',
    hint: 'Choose an environment inside one of the folders that c.CondaBuild.allow_prefixes lists.'
  },
  queue_full: {
    title: 'Too many builds are waiting',
    hint: 'Try again when a build has ended, or cancel a build.'
  },
  registry_busy: {
    title: 'The registry receives too many requests',
    hint: 'Wait a little and try again. Log in if the registry allows more requests after a login.'
  },
  registry_denied: {
    title: 'The registry denied access',
    hint: 'Ask for permission to push to this repository, or choose another repository.'
  },
  registry_fault: {
    title: 'The registry has a problem',
    hint: 'The problem is in the registry. Try again later.'
  },
  registry_not_found: {
    title: 'The registry has no such image',
    hint: "Check the spelling of the image's name and tag. If the image is private, log in with 'jupyter condabuild login REGISTRY'."
  },
  registry_too_large: {
    title: 'The registry refused an upload of this size',
    hint: "Raise the body size limit of the registry's proxy (nginx: client_max_body_size 0). Quay also answers so if a quota is used up."
  },
  registry_unauthorized: {
    title: 'The registry requires a login',
    hint: "Log in with 'jupyter condabuild login REGISTRY' and try again."
  },
  registry_unreachable: {
    title: 'The registry cannot be reached',
    hint: "Check the registry's name, the network and the proxy; a registry without TLS must be listed in insecure_registries."
  },
  secrets_found: {
    title: 'Files may contain secrets',
    hint: 'Remove the secrets, or leave the files out: --exclude PATH. If they are no secrets, or everyone who gets the image may have them: --allow-secret PATH.',
    endsInNames: true
  },
  store_unwritable: {
    title: 'The store is not writable',
    hint: 'Set store_dir (or CONDABUILD_STORE_DIR) to a folder that you can write.'
  }
};

export const KNOWN_FAULTS: ReadonlyMap<string, KnownFault> = new Map(Object.entries({ ...WARNINGS, ...ERRORS }));
