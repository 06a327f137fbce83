"""The docker engine: a Dockerfile and its context, built by a Docker or Podman Engine."""
