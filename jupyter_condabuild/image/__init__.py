"""The parts of an image that this package makes: paths, layers, configuration and base image."""
