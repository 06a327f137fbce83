"""The warning that an image gets no bytecode, because no Python here can compile for its Python."""

from __future__ import annotations

from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.events import Warning


def no_bytecode(python: CondaPackage) -> Warning:
    """Returns the warning for an image with this Python."""
    return Warning(
        "no-bytecode",
        f"The image gets no bytecode: this program runs in another Python than {python.version}, or on "
        "Windows, and nothing of another platform runs here.",
        "The first import of each module is slower. Install jupyter-condabuild in a Python of this version.",
    )
