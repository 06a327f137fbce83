"""The platforms of images: conda's names, and the names of processors in image configurations."""

from __future__ import annotations

import platform

PLATFORMS = {"linux-64": "amd64", "linux-aarch64": "arm64", "linux-ppc64le": "ppc64le"}
"""The platforms that an image can be for, by conda's name, and the GOARCH names of their processors."""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "ppc64le": "ppc64le"}


def host_architecture() -> str:
    """Returns the GOARCH name of this machine's processor."""
    return _MACHINES.get(platform.machine(), platform.machine())
