"""The figures we claim, measured: `python -m benchmarks` (docs/benchmarks.md)."""
