"""A list of promises: each module of tests is named after the module it holds to its word."""
