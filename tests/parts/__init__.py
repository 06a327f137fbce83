"""The real parts for tests: packages, channels, prefixes, registries, engines, images and users."""
