"""The docker engine: it makes a Dockerfile and a build context, and a Docker or Podman Engine builds the image."""
