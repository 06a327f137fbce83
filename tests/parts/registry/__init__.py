"""Registries for tests: a fake that fails on demand, real ones that want a login, and a relay that cuts connections."""
