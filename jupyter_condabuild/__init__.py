"""jupyter_condabuild turns the conda environment of a Jupyter kernel into a container image."""

from importlib.metadata import version
from typing import Any

# The one place of the number is package.json, which the JupyterLab panel needs.
__version__ = version("jupyter-condabuild")


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What jupyter_server asks a package for that it is told to load."""
    from jupyter_condabuild.server.extension import CondaBuild

    return [{"module": "jupyter_condabuild.server.extension", "app": CondaBuild}]
