"""What a container image is, and where it can live."""
