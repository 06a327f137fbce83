"""Reads a conda prefix: its records, its files, and the changes since the packages were installed."""
