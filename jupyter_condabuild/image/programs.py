"""The entrypoint, and the file that activates the environment in other shells of a container."""

from __future__ import annotations

from pathlib import Path

from jupyter_condabuild.image.paths import ACTIVATE, ENTRYPOINT, HOME

_FOLDER = Path(__file__).parent / "shell"

PROGRAMS = {path: (_FOLDER / Path(path).name).read_bytes().replace(b"\r\n", b"\n") for path in (ENTRYPOINT, ACTIVATE)}
"""The contents of our programs by their paths in an image. Their mode is 0755.

Git may write the ends of lines of Windows into a checkout there."""

LINKS = {"/etc/profile.d/zz-condabuild.sh": ACTIVATE, f"{HOME}/.bashrc": ACTIVATE}
"""Targets of symbolic links. Login shells read /etc/profile.d, and other interactive shells of bash read .bashrc."""
