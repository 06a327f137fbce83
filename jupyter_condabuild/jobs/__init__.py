"""One module for each command: the place where reading it starts."""
