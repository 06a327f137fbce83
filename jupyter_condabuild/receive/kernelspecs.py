"""Kernelspecs whose kernels run in containers of an image: what one says about its image, and where it lies.

Source: jupyter_client's documentation, "Making kernels for Jupyter", kernel specs.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from jupyter_condabuild.conda.prefix.kernel import CONTAINER_KERNEL
from jupyter_condabuild.errors import OUTSIDE, UsageError, from_os_error
from jupyter_condabuild.files import read_regular, write_whole
from jupyter_condabuild.image.paths import PREFIX, TOOLS
from jupyter_condabuild.oci.location import ImageLocation

MEMBER = "condabuild"
"""The member of a kernelspec's metadata with the fields of `ImageKernel`."""

CONNECTION_FILE = "{connection_file}"
"""The word that a Jupyter client replaces by the path of the connection file."""

_MODULE = ("-P", "-m", CONTAINER_KERNEL)
"""-P: the folder of the notebook, in which kernels write, is no place for modules that run outside of the container."""

_EXACTLY = frozenset(map(Path, ("/", "/home", "/opt", "/run", "/var")))
_BELOW = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/sbin", "/sys", "/usr", PREFIX, TOOLS)
"""Folders of an image that a folder of this machine would hide, alone or with all folders in them."""

_MOST_JSON = 1 << 20
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9.-]+")


@dataclass(frozen=True)
class ImageKernel:
    """A kernel of an image, and how its containers are made.

    `reference` is the image as the user has named it, `digest` the digest of the manifest that the user has seen, and
    `pinned` the name to pull it by; empty if it came from no registry. `image` is its id in the engine; without an
    engine, the folder of the unpacked image, and `sandbox` the program that runs it (`local_image`). `kernel` is the
    name of the kernelspec inside the image, and `command` its program. `folders` are folders that a container sees at
    their own paths besides that of the notebook; `variables` the environment variables that are handed on. `gpus`,
    `network` and `memory` are as in `KernelInstallRequest`. `added` are the packages that `image` has on top of the
    image of the reference. For a SIF, `image` is its path, `digest` that of the file, and `stamp` as in `sif_file`.
    """

    reference: str
    digest: str
    pinned: str
    image: str
    kernel: str
    command: tuple[str, ...]
    folders: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    gpus: str = "none"
    network: str = "bridge"
    memory: int = 0
    docker_host: str = ""
    sandbox: str = ""
    added: tuple[str, ...] = ()
    stamp: str = ""

    @property
    def location(self) -> ImageLocation:
        """The image as the user has named it. Raises BadReference if it is not a name any more."""
        return ImageLocation("sif", self.reference) if self.stamp else ImageLocation.parse_any(self.reference)

    @property
    def installation(self) -> str:
        """The command that installs the kernel again."""
        options = " --without-engine" if self.sandbox and not self.stamp else ""
        options += " --add-ipykernel" if self.added else ""
        return f"jupyter condabuild kernel install{options} {shlex.quote(self.reference)}"

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Makes a kernel from the member of a kernelspec. Raises UsageError."""
        kinds = {"memory": int, "command": list, "folders": list, "variables": list, "added": list}
        members = value if isinstance(value, Mapping) else {}
        known: dict[str, Any] = {item.name: members.get(item.name) for item in fields(cls)}
        later = {"sandbox": "", "added": [], "stamp": ""}  # kernelspecs of earlier versions have none
        known |= {name: members.get(name, default) for name, default in later.items()}
        for name, found in known.items():
            words = found if isinstance(found, list) else [""]
            if type(found) is not kinds.get(name, str) or not all(isinstance(word, str) for word in words):
                raise UsageError(
                    f"The kernelspec has no valid {name}.", "Install it again: jupyter condabuild kernel install"
                )
        values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in known.items()}
        return cls(**values)


@dataclass(frozen=True)
class Installed:
    """A kernelspec of ours in a folder of the user. `language` and `title` are as the launcher shows them."""

    folder: Path
    title: str
    language: str
    kernel: ImageKernel

    @property
    def name(self) -> str:
        """The name of the kernelspec."""
        return self.folder.name


def kernels_folder() -> Path:
    """Returns the folder of the user's own kernelspecs. Every Jupyter of the user looks for kernels there."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir(), "kernels")


def name_of(reference: str, kernel: str) -> str:
    """Returns the name of the kernelspec for a kernel of an image: the same for the same image, another for others."""
    readable = _NOT_IN_A_NAME.sub("-", reference.rpartition("/")[2].lower()).strip("-.")[:60]
    return f"{readable}-{sha256(f'{reference} {kernel}'.encode()).hexdigest()[:8]}"


def refuse_hiding(folder: Path) -> None:
    """Raises UsageError for a folder that would hide the image's own files in the container."""
    if folder in _EXACTLY or any(folder.is_relative_to(place) for place in _BELOW):
        raise UsageError(
            f"A kernel of an image cannot have {folder}: the folder would hide files of the image.",
            "Put the notebook and its data into a folder of your own.",
        )


def read(file: Path) -> ImageKernel:
    """Reads the kernel of a kernel.json. Raises UsageError if it is none of ours."""
    value = _load(file)
    metadata = value.get("metadata")
    return ImageKernel.parse(metadata.get(MEMBER) if isinstance(metadata, Mapping) else None)


def installed() -> Iterator[Installed]:
    """Yields the kernelspecs of ours, sorted by name."""
    for file in sorted(kernels_folder().glob("*/kernel.json")):
        try:
            value, kernel = _load(file), read(file)
        except UsageError:  # somebody else's
            continue
        yield Installed(file.parent, str(value.get("display_name")), str(value.get("language")), kernel)


def install(
    kernel: ImageKernel, title: str, language: str, properties: Mapping[str, Any], files: Mapping[str, bytes]
) -> Installed:
    """Writes a kernelspec, in place of an earlier one for the same kernel.

    Args:
        title: the name that users see.
        properties: members of the metadata besides ours, and ``interrupt_mode``.
        files: other files of the kernelspec, such as icons.

    Raises StoreError.
    """
    folder = kernels_folder() / name_of(kernel.reference, kernel.kernel)
    file = folder / "kernel.json"
    metadata = {name: value for name, value in properties.items() if name != "interrupt_mode"}
    value = {
        "argv": [sys.executable, *_MODULE, str(file), CONNECTION_FILE],
        "display_name": title,
        "language": language,
        "interrupt_mode": properties.get("interrupt_mode", "signal"),
        "metadata": {**metadata, MEMBER: asdict(kernel)},
    }
    doing = "installing a kernelspec"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, doing, folder, hint=OUTSIDE) from None
    for name, content in files.items():
        write_whole(folder / name, content, doing)
    write_whole(file, json.dumps(value, indent=1), doing)
    return Installed(folder, title, language, kernel)


def remove(found: Installed) -> None:
    """Removes a kernelspec. Raises StoreError."""
    try:
        shutil.rmtree(found.folder)
    except OSError as error:
        raise from_os_error(error, "removing a kernelspec", found.folder, hint=OUTSIDE) from None


def _load(file: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(read_regular(file, _MOST_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"The kernelspec {file} cannot be read: {error}.") from None
    return value if isinstance(value, Mapping) else {}
