"""The paths of the parts of an image. They are the same in every image."""

from __future__ import annotations

PREFIX = "/opt/env"
"""The environment's prefix."""

TOOLS = "/opt/condabuild"
"""The folder of the entrypoint and of the programs that belong to no package."""

ENTRYPOINT = f"{TOOLS}/entrypoint"
"""The program that activates the environment and then runs the command."""

ACTIVATE = f"{TOOLS}/activate"
"""The file that activates the environment in the shell that reads it."""

LOCK = f"{TOOLS}/lock"
"""The program that prints the environment's lock file."""

PIP_LIST = f"{TOOLS}/pip.txt"
"""The pip packages as comments of an explicit lock file; only in an image that has pip packages."""

SOURCES = "/opt/src"
"""The folder of the sources of editable installs."""

OUTSIDE = "/opt/outside"
"""The folder of Python code from outside of the environment, such as the user's own site-packages."""

HOME = "/home/user"
"""The home folder of the image's user."""

WORK = "/work"
"""The working folder, with the user's own files."""

USER = 1000
"""The numeric id of the image's user and of the user's group."""


def in_layer(path: str) -> str:
    """Returns the name of an absolute path in a layer's tar file: without the leading slash (image-spec layer.md)."""
    return path.removeprefix("/")


PREFIX_IN_LAYER = in_layer(PREFIX)
"""`PREFIX` in the names of a layer's tar file."""
