/** The errors of the server that the panel can translate, by their code. */

import type { KnownFault } from './faults';

export const ERRORS: Record<string, KnownFault> = {
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
  debian_packages_refused: {
    title: 'Packages of Debian cannot be added to the base image',
    hint: 'Leave --apt out, or use a base image that has the packages.'
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
