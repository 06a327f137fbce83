"""Packages to files as they lie at the prefix of the image."""
