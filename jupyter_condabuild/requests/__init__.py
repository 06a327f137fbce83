"""What a command is asked for, parsed and validated."""
