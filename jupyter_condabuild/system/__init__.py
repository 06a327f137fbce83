"""What differs between Linux, macOS and Windows. No other part uses a function that one of these systems lacks."""
