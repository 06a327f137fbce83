"""The plan of a build: an environment or a lock file becomes a plan of layers."""
