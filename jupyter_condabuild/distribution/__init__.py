"""The layers that registries have already, and the delivery of an image to its destinations."""
