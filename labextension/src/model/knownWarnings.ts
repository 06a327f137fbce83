/** The warnings of the server that the panel can translate, by their code. A warning without a usual hint has an empty one. */

import type { KnownFault } from './faults';

export const WARNINGS: Record<string, KnownFault> = {
  'base-not-removed': {
    title: 'Old base images are not removed',
    hint: ''
  },
  'blob-gone': {
    title: 'A blob has disappeared from the registry',
    hint: ''
  },
  'bytecode-of-installer': {
    title: "Bytecode is the installer's choice",
    hint: 'The layers engine leaves out all bytecode (--engine layers --no-bytecode).'
  },
  'categories-left-out': {
    title: 'Categories of the lock file are left out',
    hint: ''
  },
  'changes-not-carried': {
    title: 'Changed files are not carried to another platform',
    hint: 'The image gets the files of the packages. Put changes into files of your own.'
  },
  'claim-contradicts-store': {
    title: 'A repository has another layer than this machine has built',
    hint: ''
  },
  'clobbered-files': {
    title: 'Several packages have different files at the same path',
    hint: 'The image shows what the environment shows. Other users get other files from a lock file.'
  },
  'compiling-runs-python': {
    title: 'Compiling runs the Python of the lock file',
    hint: ''
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
  'contents-unknown': {
    title: 'The files of some packages are not known',
    hint: 'If another package has a file at the same path, the image may show the wrong file.'
  },
  'copied-environment': {
    title: 'The environment was copied or moved',
    hint: ''
  },
  'credentials-left-out': {
    title: 'Files for credentials are not in the image',
    hint: 'To put such a file into the image, add --allow-secret PATH.',
    here: 'Take such a file only if everybody who gets the image may read it.',
    endsInNames: true
  },
  'dangling-links': {
    title: 'Links lead to no file in the image',
    hint: 'The image contains the links as they are. Remove the links, or replace them with the files.',
    endsInNames: true
  },
  'debian-scripts-not-run': {
    title: 'Scripts of packages of Debian are not run',
    hint: 'Libraries work without them. If a program needs what they make, use a base that has the package.'
  },
  'editable-builds-at-import': {
    title: 'Editable installs cannot be imported in the image',
    hint: "Import the package once, so that it is built, or install the project without --editable: 'pip install --no-deps FOLDER'.",
    endsInNames: true
  },
  'editable-built': {
    title: 'An editable install is built at each import',
    hint: 'If its compiled code has changed since, import the package once before you build the image.'
  },
  'editable-install': {
    title: 'A package is an editable install',
    hint: 'The image contains a copy of the current code. Only a wheel or a commit can be installed again.'
  },
  'editable-source-missing': {
    title: 'The folder of an editable install does not exist',
    hint: 'Neither this environment nor the image can import it. Remove the package, or install it again.'
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
  'foreign-files': {
    title: 'Files of another platform are not carried',
    hint: "If the image needs them, install a package that brings them for the image's platform."
  },
  frozen: {
    title: 'The environment is frozen',
    hint: 'The build only reads the environment, so the image is built as usual.'
  },
  'git-needed': {
    title: 'pip needs git, and the environment does not have git',
    hint: ''
  },
  'large-context': {
    title: 'The folder that the engine gets is large',
    hint: 'List the files that the image does not need in a .dockerignore in your folder.'
  },
  'layer-distrusted': {
    title: 'A layer of others is not used',
    hint: ''
  },
  'tag-moved': {
    title: 'Another image of this name was replaced',
    hint: 'The other image keeps its digest. Give one of the two another tag.'
  },
  'layer-pool-elsewhere': {
    title: 'The layer pool is in another registry',
    hint: ''
  },
  'layer-pool-not-read': {
    title: 'The layer pool is not read',
    hint: ''
  },
  'layer-pool-not-written': {
    title: 'The layer pool is not written',
    hint: ''
  },
  'left-out': {
    title: 'Packages are left out for the other platform',
    hint: ''
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
  'local-name': {
    title: 'Others cannot reach the name of the image',
    hint: 'Give the image the name of a registry that others can reach, or save it as an archive.'
  },
  'login-in-lockfile': {
    title: 'The lock file contains a login in clear',
    hint: ''
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
  'no-buildkit': {
    title: 'The engine has no BuildKit',
    hint: 'Docker has BuildKit since 18.09.'
  },
  'no-bytecode': {
    title: 'The image has no bytecode',
    hint: 'The first import of each module is slower. Install jupyter-condabuild in a Python of this version.'
  },
  'not-installable': {
    title: 'Others cannot install some packages',
    hint: 'Publish them in a channel or an index, or build from the environment.'
  },
  'other-version': {
    title: 'Packages have another version on the other platform',
    hint: 'Look at each of them. --strict-versions same-minor refuses them.'
  },
  'out-of-memory': {
    title: 'The program needed more memory than the engine has',
    hint: ''
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
  'package-cache-damaged': {
    title: 'The package cache is damaged',
    hint: "'conda clean --packages' removes the damaged copies."
  },
  'pip-files-missing': {
    title: 'Files of pip packages are missing',
    hint: ''
  },
  'pip-hash-not-found': {
    title: 'The hashes of pip packages are not found',
    hint: "pip may have built them from source. 'conda-lock install' cannot install them from this lock file."
  },
  'pip-login-left-out': {
    title: 'Pip packages of a private index are left out',
    hint: ''
  },
  'pip-not-checked': {
    title: 'Whether the pip packages fit is not checked',
    hint: ''
  },
  'pip-source-only': {
    title: 'Pip packages have no wheel for the other platform',
    hint: 'The layers engine cannot build them. --engine docker builds them from the lock file.'
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
  'platforms-replaced': {
    title: 'The name loses its images for other platforms',
    hint: ''
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
  'receipt-not-attached': {
    title: 'The receipt of the image is not in the registry',
    hint: ''
  },
  'root-prefix': {
    title: 'The environment is a base environment',
    hint: 'They hold the package cache, other environments and builds. Build the image of each other environment separately.'
  },
  'sbom-not-attached': {
    title: 'The SBOM of the image is not in the registry',
    hint: ''
  },
  'secrets-found': {
    title: 'Files may contain secrets',
    hint: 'Remove the secrets, or leave the files out: --exclude PATH. If they are no secrets, or everyone who gets the image may have them: --allow-secret PATH.',
    endsInNames: true
  },
  'secrets-not-searched': {
    title: 'Not all files were searched for secrets',
    hint: 'Move data out of the environment and out of the folders that the image includes.'
  },
  'shared-paths': {
    title: 'Several packages have different files at the same path',
    hint: 'The image shows the file of the package that is installed last, as the environment does.'
  },
  'special-files': {
    title: 'Pipes, sockets and devices are not in the image',
    hint: 'The image does not contain them. Programs make them again when they start.'
  },
  'superseded-record': {
    title: 'An update of a package was interrupted',
    hint: ''
  },
  'taken-from-prefix': {
    title: 'Packages are taken from the environment',
    hint: ''
  },
  unreadable: {
    title: 'Some files cannot be read',
    hint: 'The image cannot contain what you cannot read. Make these paths readable, or remove them.',
    endsInNames: true
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
  }
};
