"""The real parts that tests work with: packages, channels, prefixes, registries, engines, images, users."""
