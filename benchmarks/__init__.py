"""Measures every figure that the project claims: `python -m benchmarks` (docs/benchmarks.md)."""
