"""Where the parts of an image lie, the same in every image of ours."""

from __future__ import annotations

PREFIX = "/opt/env"
"""The environment's prefix."""

TOOLS = "/opt/condabuild"
"""The folder of the entrypoint and of the programs that belong to no package."""

ENTRYPOINT = f"{TOOLS}/entrypoint"
"""The program that activates the environment and then runs the command."""

LOCK = f"{TOOLS}/lock"
"""The program that prints the environment's lock file."""

SOURCES = "/opt/src"
"""The folder of the sources of editable installs."""

HOME = "/home/user"
"""The home folder of the image's user."""

WORK = "/work"
"""The working folder, where a user's own files lie."""

USER = 1000
"""The number of the image's user and of that user's group."""


def in_layer(path: str) -> str:
    """The name of an absolute path in a layer's tar file: without the slash at its start (image-spec layer.md)."""
    return path.removeprefix("/")


PREFIX_IN_LAYER = in_layer(PREFIX)
"""`PREFIX` as the names in a layer's tar file begin."""
