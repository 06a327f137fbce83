"""jupyter_condabuild turns the conda environment of a Jupyter kernel into a container image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """Returns `__version__` when it is first read; raises AttributeError for any other name.

    package.json is the only file that contains the version, because the JupyterLab panel needs it there. The panel has
    a copy of that file beside this module. `importlib.metadata` has the version, too, but it takes almost as long as
    the start of a command.
    """
    if name != "__version__":
        raise AttributeError(name)
    version: str = json.loads((Path(__file__).parent / "labextension" / "package.json").read_bytes())["version"]
    globals()[name] = version
    return version


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Returns the server extension of the package, as jupyter_server expects it.

    Source: jupyter_server's documentation, "Server extensions".
    """
    from jupyter_condabuild.server.extension import CondaBuild

    return [{"module": "jupyter_condabuild.server.extension", "app": CondaBuild}]
