"""A small mirror of Debian in a folder."""
