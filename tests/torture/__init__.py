"""Hostile inputs of every kind, each given to the real program, which must refuse or survive each of them.

`python -m tests.torture` runs all cases and prints a table; `make test` runs some of each kind.
"""
