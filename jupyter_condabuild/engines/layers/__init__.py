"""The layers engine: an image put together from conda packages, without a container engine."""
