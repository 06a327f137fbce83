"""A SIF of this machine whose kernels are installed: how it is known again, and which kernelspecs it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.errors import OUTSIDE, EngineFault, UsageError, from_os_error
from jupyter_condabuild.image.paths import WORK
from jupyter_condabuild.oci.engine.containers import ContainerOptions
from jupyter_condabuild.text import clean

if TYPE_CHECKING:  # a kernel starts faster without them
    from jupyter_condabuild.receive.kernelspecs import ImageKernel
    from jupyter_condabuild.receive.local_image import LocalImage

_COPY = f"""
for folder do
    if [ -d "$folder" ]; then
        mkdir -p "{WORK}$folder" && cp -R "$folder/." "{WORK}$folder/" || exit
    fi
done
"""


def fingerprint(file: Path) -> tuple[str, str]:
    """Returns the digest of a file, and its stamp: the size in bytes and the time of the last change in nanoseconds.

    Raises StoreError if the file cannot be read.
    """
    try:
        with file.open("rb") as opened:
            stamp = _stamp(os.fstat(opened.fileno()))
            return f"sha256:{file_digest(opened, 'sha256').hexdigest()}", stamp
    except OSError as error:
        raise from_os_error(error, "reading the SIF", file, hint=OUTSIDE) from None


def difference(kernel: ImageKernel) -> str:
    """Returns what has become of the SIF of a kernel since its installation, as a sentence; empty if it is the same.

    A file with another stamp is read as a whole: it may have been copied.
    """
    file = Path(kernel.image)
    try:
        if _stamp(file.stat()) == kernel.stamp:
            return ""
    except OSError:
        return f"The SIF {file} is gone, or cannot be read."
    return "" if fingerprint(file)[0] == kernel.digest else f"The SIF {file} is another file than the one installed."


def refuse_changed(kernel: ImageKernel) -> None:
    """Raises UsageError if the SIF of a kernel is not the one that its user has agreed to."""
    if said := difference(kernel):
        raise UsageError(said, f"Install the kernel again: {kernel.installation}")


def copy_folders(image: LocalImage, folders: tuple[str, ...], network: str, scratch: Path) -> Path:
    """Runs a program in a container of a SIF that copies folders, and returns the folder with the copies.

    Args:
        network: as in `KernelInstallRequest`.
        scratch: an empty folder.

    Raises EngineFault if the program fails, UsageError, OSError.
    """
    out, rest = scratch / "copies", scratch / "rest"
    out.mkdir()
    rest.mkdir()
    mounts: Mapping[str, Path] = {WORK: out}
    options = ContainerOptions(
        "",
        command=("sh", "-c", _COPY, "sh", *folders),
        folders=mounts,
        work=WORK,
        network="none" if network == "none" else "",
    )
    with image.run(options, rest) as program:
        program.start()
        if status := program.wait():
            raise EngineFault(
                f"The kernels in {image.place} cannot be read (exit status {status}). The last lines of "
                f"{Path(image.program).name}: {clean(program.log().strip()) or 'none'}",
                f"Run a program of it, to see whether it starts: jupyter condabuild run {image.place} sh",
            )
    return out


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size} {status.st_mtime_ns}"
