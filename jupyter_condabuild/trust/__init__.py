"""Statements about images: who built an image, from which packages, and whether the statement is signed."""
