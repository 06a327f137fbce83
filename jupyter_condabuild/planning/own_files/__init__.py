"""The user's own files: which files that belong to no package go into an image, and which of them hold secrets."""
