"""Measures how cost grows with packages, bytes, builds and a simulated lab (`python -m benchmarks.scale`)."""
