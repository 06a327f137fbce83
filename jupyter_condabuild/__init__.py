"""jupyter_condabuild turns the conda environment of a Jupyter kernel into a container image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """Returns `__version__` when it is first read; raises AttributeError for any other name.

    The lookup takes longer than the start of a command, so that an import of the package does not do it. package.json
    is the only file that contains the version, because the JupyterLab panel needs it there.
    """
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version

    return version("jupyter-condabuild")


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Returns the server extension of the package, as jupyter_server expects it.

    Source: jupyter_server's documentation, "Server extensions".
    """
    from jupyter_condabuild.server.extension import CondaBuild

    return [{"module": "jupyter_condabuild.server.extension", "app": CondaBuild}]
