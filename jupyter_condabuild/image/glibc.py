"""The glibc of well-known base images: packages for another platform are solved for it, before the base is fetched.

Source: the packages libc6 of Debian and Ubuntu, and glibc of Red Hat Enterprise Linux.
"""

from __future__ import annotations

import re

from jupyter_condabuild.conda.cross.target import GLIBC
from jupyter_condabuild.oci.location import ImageLocation

_KNOWN = (
    (r"debian:(?:11|bullseye)|ubuntu:(?:20\.04|focal)", "2.31"),
    (r"ubuntu2004", "2.31"),
    (r"debian:(?:12|bookworm)|(?:python|buildpack-deps|micromamba)[:-].*bookworm", "2.36"),
    (r"debian:(?:13|trixie)|(?:python|buildpack-deps)[:-].*trixie", "2.41"),
    (r"ubuntu:(?:22\.04|jammy)|ubuntu2204|ubuntu22\.04", "2.35"),
    (r"ubuntu:(?:24\.04|noble)|ubuntu2404|ubuntu24\.04", "2.39"),
    (r"(?:ubi|almalinux|rockylinux|rocky)(?:-minimal|linux)?:?8|(?:ubi8|rockylinux8)", "2.28"),
    (r"(?:ubi|almalinux|rockylinux|rocky)(?:-minimal|linux)?:?9|(?:ubi9|rockylinux9)", "2.34"),
)


def glibc_of(base: ImageLocation) -> str:
    """Returns the glibc of a base image, by its name; a low guess if the name says nothing."""
    name = f"debian:{base.name}" if base.kind == "debian-packages" else base.name.rpartition("/")[2]
    return next((version for pattern, version in _KNOWN if re.match(f"(?:{pattern})", name)), GLIBC)
