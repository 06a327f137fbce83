"""A program of an image in a container of Apptainer or Singularity: the image, the named folders, and nothing else.

The programs themselves were not here when this was written. The options are those of Apptainer 1.1 and newer, and of
Singularity 3.8 and newer where it has them.

Source: apptainer.org, "apptainer run", "Bind Paths and Mounts", "Environment and Metadata"; the flags of the actions in
github.com/apptainer/apptainer, cmd/internal/cli/action_flags.go.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.image.paths import HOME
from jupyter_condabuild.oci.engine.containers import ContainerOptions

NAMES = ("apptainer", "singularity")

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_FOLDERS = ("CACHEDIR", "CONFIGDIR", "TMPDIR")
"""The program's own variables, such as APPTAINER_TMPDIR, that are handed on. Others could bind more folders."""

_SPECIAL = frozenset(":,\\\"'")
"""Characters with a meaning in the value of ``--bind``."""


def program() -> str:
    """Returns the path of Apptainer, or of Singularity; empty if there is neither."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def words(program: str, image: Path, options: ContainerOptions, scratch: Path) -> list[str]:
    """Returns the command that runs the program of the options in a container.

    Args:
        image: a SIF, whose runscript starts the program, or the root folder of an unpacked image.
        options: the command; for a folder, with the entrypoint.
        scratch: a folder that holds the home folder and the temporary files of the program.

    Raises UsageError for a folder whose name ``--bind`` cannot express, OSError.
    """
    is_folder = image.is_dir()
    found = [program, "exec" if is_folder else "run", "--containall", "--cleanenv", "--no-privs"]
    if Path(program).name == "apptainer":
        found += ["--no-eval", "--no-mount", "bind-paths"]
    if options.network == "none":
        found += ["--net", "--network", "none"]
    if options.gpus:
        found.append("--nv")
    home = scratch / "home"
    home.mkdir(exist_ok=True)
    found += ["--home", _bind(home, HOME), "--workdir", str(scratch)]
    for path, folder in options.folders.items():
        for place, name in (("/tmp/", "tmp"), ("/var/tmp/", "var_tmp")):  # noqa: S108  of the container
            if path.startswith(place):  # Apptainer makes no folder in one that it has mounted
                scratch.joinpath(name, path.removeprefix(place)).mkdir(parents=True, exist_ok=True)
        found += ["--bind", _bind(folder, path)]
    if options.work:
        found += ["--pwd", options.work]
    return [*found, str(image), *options.command]


def environ(program: str, given: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of Apptainer itself, with those that it gives to the program in the container."""
    prefix = Path(program).name.upper()
    kept = (*_KEPT, *(f"{prefix}_{name}" for name in _FOLDERS))
    own = {name: os.environ[name] for name in kept if name in os.environ}
    return own | {f"{prefix}ENV_{name}": value for name, value in given.items() if name != "HOME"}


def _bind(folder: Path, path: str) -> str:
    if _SPECIAL & set(f"{folder}{path}"):
        raise UsageError(
            f"Apptainer cannot give a container the folder {folder}: its name has a colon, comma, quote or backslash.",
            "Use a folder with another name.",
        )
    return f"{folder}:{path}"
