"""The two ways to make an image: from layers of packages, or by an engine from a Dockerfile."""
