"""What registries have already, and how an image gets to its destinations."""
