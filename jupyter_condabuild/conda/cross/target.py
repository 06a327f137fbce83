"""Target: the platform that an environment is solved for, and the system that its packages may count on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ARCHITECTURES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "linux-ppc64le": "ppc64le", "linux-s390x": "s390x"}
"""The platforms that an environment can be solved for, and their processors as ``__archspec`` and wheels name them."""

GLIBC = "2.28"
"""The glibc of a base image whose glibc is not known: that of RHEL 8, and of the wheels for manylinux_2_28."""

LINUX = "3.10"
"""The Linux kernel that packages may count on: nobody knows on which machines the image will run."""


@dataclass(frozen=True)
class Target:
    """A platform such as ``linux-64``, with the versions of its glibc and its kernel, and of CUDA's driver.

    `cuda` is empty if the packages may not count on a GPU.
    """

    platform: str
    glibc: str = GLIBC
    cuda: str = ""
    linux: str = LINUX

    @property
    def machine(self) -> str:
        """The processor, as ``uname -m`` names it."""
        return ARCHITECTURES.get(self.platform, "x86_64")

    def virtual_packages(self) -> list[Any]:
        """Returns the system as virtual packages of rattler. Nothing of this machine is in them."""
        from rattler import GenericVirtualPackage, PackageName, Version
        from rattler.package import BuildString

        def virtual(name: str, version: str, build: str = "0") -> Any:
            return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))

        found = [virtual("__unix", "0"), virtual("__linux", self.linux), virtual("__glibc", self.glibc)]
        found.append(virtual("__archspec", "1", self.machine))
        return [*found, virtual("__cuda", self.cuda)] if self.cuda else found


def cuda_of(packages: Iterable[tuple[str, str]]) -> str:
    """Returns the CUDA version that packages, each a name and a version, were built for; empty without CUDA."""
    versions = dict(packages)
    for name in ("cuda-version", "cudatoolkit", "cuda-cudart", "cuda-runtime"):
        if version := versions.get(name):
            return ".".join(version.split(".")[:2])
    return ""
