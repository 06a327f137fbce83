"""Tests with a real Jupyter server (pytest-jupyter), real kernels, a real registry and real builds."""
