"""The logins of the user for registries, in the files and credential helpers of Docker and Podman."""
