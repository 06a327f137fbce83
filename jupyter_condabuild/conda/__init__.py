"""What is in a conda environment: records, snapshot, lock file, linked files."""
