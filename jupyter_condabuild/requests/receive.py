"""The requests of the commands that use an image: inspect and run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.build import JobRequest
from jupyter_condabuild.requests.option import option


@dataclass(frozen=True, kw_only=True)
class InspectRequest(JobRequest):
    """An image whose contents are described without a pull. `platform` chooses from the images of an index."""

    label: ClassVar[str] = "The inspect request"

    reference: ImageLocation | None = option(
        None,
        "the name of an image, an archive, or docker-daemon:NAME",
        metavar="REFERENCE",
        completed=True,
        parse=ImageLocation.parse_any,
    )
    platform: str = option(
        "",
        "the platform of the image, if the name has images for several, such as linux-aarch64 (default: this "
        "machine's)",
        "--platform",
        metavar="PLATFORM",
    )

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image."""
        if not self.reference:
            raise UsageError(f"{self.label} names no image.", "Give its name, as registry.lab.org/team/env:tag.")


@dataclass(frozen=True, kw_only=True)
class RunRequest(InspectRequest):
    """An image, and the program that runs in a container of it.

    `command` are the program and its arguments; empty for the image's own. `folder` is the folder that the container
    sees as its work folder. `port` is the port of JupyterLab on this machine; 0 for a free one. `yes` means that the
    user has decided to run the image, whoever built it.
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
    )
    port: int = option(0, "the port of JupyterLab on this machine (default: a free port)", "--port", metavar="N")
    gpus: str = option(
        "auto",
        "whether the container gets the NVIDIA GPUs (default: if the image is for them and this machine has them)",
        "--gpus",
        choices=("auto", "all", "none"),
    )
    network: str = option(
        "bridge", "the network of the container; none: no network at all", "--network", choices=("bridge", "none")
    )
    no_browser: bool = option(False, "do not open a browser", "--no-browser")
    yes: bool = option(False, "run the image, whoever built it, without a question", "--yes")

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
