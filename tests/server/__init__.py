"""Tests against a real Jupyter server (pytest-jupyter), with real kernels, registry and builds."""
