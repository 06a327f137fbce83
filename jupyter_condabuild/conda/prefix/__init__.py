"""What is in a conda prefix: its records, its files, and what changed since they were installed."""
