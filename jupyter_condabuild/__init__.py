"""jupyter_condabuild turns the conda environment of a kernel into a container image."""

__version__ = "0.1.0"
