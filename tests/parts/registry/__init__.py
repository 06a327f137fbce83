"""Registries for tests: a fake that fails on demand, real ones with a login, and a relay that cuts connections."""
