"""The lock file formats, one module each: `dump` writes it, `load` reads it."""
