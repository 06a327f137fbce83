"""Turns packages into the files that the image has at its prefix."""
