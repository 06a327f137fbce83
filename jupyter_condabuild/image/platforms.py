"""The platforms of images: conda's names, and the names of processors in image configurations."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Descriptor
from jupyter_condabuild.oci.index import platform_text

PLATFORMS = {"linux-64": "amd64", "linux-aarch64": "arm64", "linux-ppc64le": "ppc64le"}
"""The platforms that an image can be for, by conda's name, and the GOARCH names of their processors."""

_OF_DOCKER = {f"linux/{processor}": name for name, processor in PLATFORMS.items()}

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "ppc64le": "ppc64le"}


def host_architecture() -> str:
    """Returns the GOARCH name of this machine's processor."""
    machine = platform.machine().lower()  # Windows: AMD64, ARM64
    return _MACHINES.get(machine, machine)


def runs_here(name: str, system: str = sys.platform) -> bool:
    """Whether programs of a platform of `PLATFORMS` run on this machine: only Linux runs those of Linux.

    Args:
        system: the value of `sys.platform` on this machine.
    """
    return system == "linux" and PLATFORMS.get(name) == host_architecture()


def check_names(names: Iterable[str]) -> None:
    """Raises UsageError for a platform that an image cannot be for."""
    for name in names:
        if name not in PLATFORMS:
            hint = f"Write {_OF_DOCKER[name]}." if name in _OF_DOCKER else f"Choose from {', '.join(PLATFORMS)}."
            raise UsageError(f"An image cannot be for {name[:40]!r}.", hint)


def architecture_of(name: str) -> str:
    """Returns the GOARCH name of a platform's processor; empty for an empty name. Raises UsageError.

    Docker's name of a platform is taken, too: `linux/arm64`, as errors about images name it.
    """
    if not name:
        return ""
    name = _OF_DOCKER.get(name, name)
    check_names([name])
    return PLATFORMS[name]


def name_of(image: Descriptor) -> str:
    """Returns conda's name of the platform of an image, such as ``linux-64``; Docker's name if conda has none."""
    text = platform_text(image)
    return next((name for name, processor in PLATFORMS.items() if text == f"linux/{processor}"), text)
