"""Real conda packages, a real channel and real prefixes, made offline from PyPI wheels and the running Python."""
