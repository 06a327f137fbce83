"""What will be built: from an environment or a lock file to a plan of layers."""
