"""The two ways to build an image: from layers of packages, or from a Dockerfile by a container engine."""
