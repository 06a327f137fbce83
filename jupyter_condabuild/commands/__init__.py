"""The commands of `jupyter condabuild`, one module each, with HELP, REQUEST and `run`, which runs a job and prints."""
