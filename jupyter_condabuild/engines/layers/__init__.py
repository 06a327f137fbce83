"""The layers engine: it makes an image from conda packages, without a container engine."""
