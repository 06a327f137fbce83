"""Container engines: Docker and Podman, their images, and BuildKit."""
