"""Conda environments: reading a prefix, packages and their archives, lock files, linking."""
