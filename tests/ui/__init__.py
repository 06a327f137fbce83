"""The tests of the panel."""
