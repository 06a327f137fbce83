"""The options of each command, parsed and checked."""
