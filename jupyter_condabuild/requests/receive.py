"""The requests of the commands that use an image: inspect, run, recreate, sif, check, kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.build import JobRequest
from jupyter_condabuild.requests.image_names import refuse_bare
from jupyter_condabuild.requests.option import option
from jupyter_condabuild.requests.platforms import image_platform

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MEMORY = re.compile(r"([1-9][0-9]{0,5})([mg])")

RUNS_AT = "JupyterLab runs at "
"""The beginning of the line of a run's log that has the address of JupyterLab."""

IMPORTING = "Importing modules."
"""The line of a check's log that says that the image is there."""


@dataclass(frozen=True, kw_only=True)
class NamedImageRequest(JobRequest):
    """An image that a user names."""

    label: ClassVar[str] = "The request"

    reference: ImageLocation | None = option(
        None,
        "the name of an image, an archive, or docker-daemon:NAME",
        metavar="REFERENCE",
        completed=True,
        client=True,
        below_root=True,
        parse=ImageLocation.parse_any,
    )

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image."""
        if not self.reference:
            raise UsageError(f"{self.label} names no image.", "Give its name, as registry.lab.org/team/env:tag.")


@dataclass(frozen=True, kw_only=True)
class InspectRequest(NamedImageRequest):
    """An image whose contents are described without a pull. `platform` chooses from the images of an index."""

    label: ClassVar[str] = "The inspect request"

    platform: str = image_platform(client=True)


def seen() -> Any:
    """Returns the option `seen`: the digest of the image that the user has seen, and decided to run.

    An image with another digest is refused. Empty: see `yes`.
    """
    return option("", client=True, parse=_digest)


def _digest(text: str) -> str:
    return str(Digest.parse(text)) if text else ""


def gpus() -> Any:
    """Returns the option `gpus`: whether a container gets the GPUs of the machine."""
    return option(
        "auto",
        "whether the container gets the NVIDIA GPUs (default: if the image is for them and this machine has them)",
        "--gpus",
        choices=("auto", "all", "none"),
    )


def network() -> Any:
    """Returns the option `network`: the network of a container."""
    return option(
        "bridge", "the network of the container; none: no network at all", "--network", choices=("bridge", "none")
    )


def without_engine() -> Any:
    """Returns the option `without_engine`: whether an image runs in a sandbox of this machine."""
    return option(
        False,
        "use neither Docker nor Podman: unpack the image, and run it in a sandbox of bubblewrap or Apptainer",
        "--without-engine",
        client=True,
    )


@dataclass(frozen=True, kw_only=True)
class RunRequest(InspectRequest):
    """An image, and the program that runs in a container of it.

    `command` are the program and its arguments; empty for the image's own. `folder` is the folder that the container
    sees as its work folder. `port` is the port of JupyterLab on this machine; 0 for a free one. `yes` means that the
    user has decided to run the image, whoever built it. With `for_server`, the program must be JupyterLab, and it ends
    with the process that has started the command.
    """

    label: ClassVar[str] = "The run request"

    command: tuple[str, ...] = option(
        (), "the program to run, with its arguments (default: the image's own, such as JupyterLab)", metavar="COMMAND"
    )
    folder: Path = option(
        Path,
        "the folder that the container has as /work (default: the current folder)",
        "--folder",
        metavar="DIR",
        client=True,
        below_root=True,
    )
    port: int = option(0, "the port of JupyterLab on this machine (default: a free port)", "--port", metavar="N")
    gpus: str = gpus()
    network: str = network()
    without_engine: bool = without_engine()
    no_browser: bool = option(False, "do not open a browser", "--no-browser")
    yes: bool = option(False, "run the image, whoever built it, without a question", "--yes")
    seen: str = seen()
    for_server: bool = option(False)

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image, no such folder, or no such port."""
        super().__post_init__()
        if not 0 <= self.port <= 65535:
            raise UsageError(f"{self.port} is not a port.", "A port is a number from 1 to 65535.")
        if self.command and self.command[0].startswith("-"):
            raise UsageError(
                f"{self.command[0]} is not a program.",
                "Options of the command stand before the name of the image, as with docker run.",
            )
        if not self.folder.is_dir():
            raise UsageError(f"There is no folder {self.folder}.", "Name a folder with --folder.")


@dataclass(frozen=True, kw_only=True)
class RecreateRequest(InspectRequest):
    """An image, and the folder for an environment of its packages.

    `target` is the new prefix. `yes` and `seen` are as in `RunRequest`. With `for_server`, the command ends with the
    process that has started it.
    """

    label: ClassVar[str] = "The recreate request"

    target: Path | None = option(
        None, "the folder of the new environment", metavar="PREFIX", client=True, below_root=True
    )
    yes: bool = option(False, "install the packages, whoever built the image, without a question", "--yes")
    seen: str = seen()
    for_server: bool = option(False)

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image, or no folder that is empty or new."""
        super().__post_init__()
        if not self.target:
            raise UsageError("No folder for the environment is given.", "jupyter condabuild recreate REFERENCE PREFIX")
        image = self.reference.path if self.reference and self.reference.is_file else None
        if image and (not image.exists() or (image / "conda-meta").is_dir()):
            raise UsageError(
                f"{image} is not an image.", "The image comes first: jupyter condabuild recreate REFERENCE PREFIX"
            )
        if " " in str(self.target.absolute()):
            raise UsageError(
                f"{str(self.target)!r} has a space in its path, with which scripts of an environment do not run.",
                "Give a path without a space.",
            )
        if self.target.is_file() or (self.target.is_dir() and any(self.target.iterdir())):
            raise UsageError(f"{self.target} is there already.", "Give the path of a new folder.")


@dataclass(frozen=True, kw_only=True)
class CheckRequest(InspectRequest):
    """An image whose modules are imported in a container. `yes` and `seen` are as in `RunRequest`.

    `notebook` are notebooks whose imports are tried; without imports, the modules of the packages that the builder
    asked for. `most_missing` is the number of bytes of the image that the engine may lack; if it lacks more, the image
    is not checked. -1: any number. With `for_server`, the command ends with the process that has started it.
    """

    label: ClassVar[str] = "The check request"

    notebook: tuple[str, ...] = option(
        (), "a notebook whose imports are tried (can be repeated)", "--notebook", metavar="FILE"
    )
    without_engine: bool = without_engine()
    yes: bool = option(False, "run the image, whoever built it, without a question", "--yes")
    seen: str = seen()
    most_missing: int = option(-1)
    for_server: bool = option(False)

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image, or no such notebook."""
        super().__post_init__()
        for file in self.notebook:
            if not Path(file).is_file():
                raise UsageError(f"There is no notebook {file}.", "Name the file of a notebook (.ipynb).")


@dataclass(frozen=True, kw_only=True)
class SifRequest(InspectRequest):
    """An image that is written to a SIF: the file `output`.

    With `push`, the SIF goes to the repository of the image, under a tag of its own.
    """

    label: ClassVar[str] = "The sif request"

    output: Path | None = option(None, "the file to write, such as env.sif", "-o", "--output", metavar="FILE")
    push: bool = option(
        False, "push the SIF beside the image, as TAG-sif: apptainer pull oras://REGISTRY/REPOSITORY:TAG-sif", "--push"
    )

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image, no file and no push, or no name to push to."""
        super().__post_init__()
        if not (self.output or self.push):
            raise UsageError(
                "No file for the SIF is given.", "jupyter condabuild sif REFERENCE -o env.sif, or --push to a registry."
            )
        location = self.reference
        assert location
        if self.push and (location.kind != "registry" or not location.reference.tag):
            raise UsageError(
                f"A SIF is pushed beside an image, and {location} is not the name of one in a registry, with a tag.",
                "Name the image as registry.lab.org/team/env:tag.",
            )
        if self.push:
            refuse_bare(location.reference)


@dataclass(frozen=True, kw_only=True)
class KernelInstallRequest(InspectRequest):
    """An image whose kernels are installed for Jupyter.

    `folder` are folders that the kernels see at their own paths besides that of the notebook, `env` the names of the
    environment variables that are handed on, and `memory` the memory that a kernel may use, such as ``4g``; empty for
    no limit. With `add_ipykernel`, an image without ipykernel gets it in a layer on top. `yes` means that the user has
    decided to run the image, whoever built it.
    """

    label: ClassVar[str] = "The kernel request"

    folder: tuple[str, ...] = option(
        (), "a folder that the kernel sees besides that of the notebook (can be repeated)", "--folder", metavar="DIR"
    )
    env: tuple[str, ...] = option(
        (),
        "a variable of the Jupyter server that the kernel gets (can be repeated)",
        "--env",
        metavar="NAME",
    )
    gpus: str = gpus()
    network: str = network()
    without_engine: bool = without_engine()
    memory: str = option("", "the memory that a kernel may use, as 4g (default: no limit)", "--memory", metavar="SIZE")
    add_ipykernel: bool = option(
        False, "if the image lacks ipykernel, add it from the image's channels, on top of the image", "--add-ipykernel"
    )
    yes: bool = option(False, "install the kernel, whoever built the image, without a question", "--yes")
    seen: str = seen()

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image, or if an option is not valid."""
        super().__post_init__()
        for folder in self.folder:
            if not Path(folder).is_dir():
                raise UsageError(f"There is no folder {folder}.", "Name a folder with --folder.")
        for name in self.env:
            if not _VARIABLE.fullmatch(name):
                raise UsageError(
                    f"{name!r} is not the name of a variable.",
                    "Write --env NAME. The value comes from the Jupyter server when the kernel starts.",
                )
        if self.memory_bytes and self.without_engine:
            raise UsageError(
                "Without an engine, nothing limits the memory of a kernel.",
                "Leave out --memory. On a cluster, the scheduler limits the memory of the job.",
            )

    @property
    def memory_bytes(self) -> int:
        """The memory that a kernel may use, in bytes; 0 for no limit."""
        if not self.memory:
            return 0
        if not (found := _MEMORY.fullmatch(self.memory.lower())):
            raise UsageError(f"{self.memory!r} is not a size.", "Write it as 512m or 4g.")
        return int(found[1]) << {"m": 20, "g": 30}[found[2]]


@dataclass(frozen=True, kw_only=True)
class KernelListRequest(JobRequest):
    """The installed kernels of images."""

    label: ClassVar[str] = "The kernel request"


@dataclass(frozen=True, kw_only=True)
class KernelRemoveRequest(NamedImageRequest):
    """An image whose kernels are removed from Jupyter."""

    label: ClassVar[str] = "The kernel request"
