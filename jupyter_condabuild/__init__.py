"""jupyter_condabuild turns the conda environment of a Jupyter kernel into a container image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: that takes longer than the whole of a command's start.

    The one place of the number is package.json, which the JupyterLab panel needs.
    """
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version

    return version("jupyter-condabuild")


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What jupyter_server asks a package for that it is told to load."""
    from jupyter_condabuild.server.extension import CondaBuild

    return [{"module": "jupyter_condabuild.server.extension", "app": CondaBuild}]
