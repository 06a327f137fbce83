"""Container images: their data types, and their places (registries, engines, archives and the local store)."""
