"""jupyter_condabuild turns the conda environment of a Jupyter kernel into a container image."""

from importlib.metadata import version

# The one place of the number is package.json, which the JupyterLab panel needs.
__version__ = version("jupyter-condabuild")
