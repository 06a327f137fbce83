"""The platforms of an image: how close an environment of another stays to the original, and what several allow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jupyter_condabuild.conda.cross.levels import TRIED
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.requests.option import Request, option
from jupyter_condabuild.text import listed


@dataclass(frozen=True, kw_only=True)
class OtherPlatformRequest(Request):
    """What counts if the platform of the image is not that of the environment."""

    label: ClassVar[str] = "The request"

    cuda: str = option(
        "",
        "another platform: the packages may count on a driver for this version of CUDA (default: that of the "
        "environment's CUDA packages)",
        "--cuda",
        metavar="VERSION",
        client=True,
    )
    strict_versions: str = option(
        str(TRIED[-1]),
        "another platform: refuse packages that are further from the environment's than this",
        "--strict-versions",
        choices=tuple(map(str, TRIED)),
        client=True,
    )
    leave_out: tuple[str, ...] = option(
        (),
        "another platform: the image can do without this package (can be repeated)",
        "--leave-out",
        metavar="NAME",
        client=True,
    )

    def __post_init__(self) -> None:
        """Raises UsageError for a version of CUDA that is none."""
        if self.cuda and not re.fullmatch(r"\d+\.\d+", self.cuda):
            raise UsageError(f"--cuda cannot be {self.cuda[:40]!r}.", "Write it as 12.4.")


def image_platform(default: str = "this machine's", *, client: bool = False) -> Any:
    """Returns the option `platform` that chooses from the images of an index. See `Option.client`."""
    return option(
        "",
        f"the platform of the image, if the name has images for several, such as linux-aarch64 (default: {default})",
        "--platform",
        metavar="PLATFORM",
        client=client,
    )


def check_platforms(platforms: Sequence[str], engine: str) -> None:
    """Checks the platforms of a request that names several. Raises UsageError."""
    if len(platforms) > 1 and engine == "docker":
        raise UsageError(
            f"The docker engine builds an image for one platform at a time, not for {listed(platforms)}.",
            "Use --engine layers, which builds for each of them, or name one --platform.",
        )


def check_appending(engine: str, *, push: bool, elsewhere: bool) -> None:
    """Checks a build that keeps the other images of a name. Raises UsageError.

    Args:
        push: whether the image goes to a registry.
        elsewhere: whether it goes to an engine or an archive, too.
    """
    if engine == "docker":
        raise UsageError(
            "The docker engine replaces the image that a name has, and cannot add one for another platform.",
            "Use --engine layers, or give the image of each platform a name of its own.",
        )
    if not push or elsewhere:
        raise UsageError(
            "--append-platform is for images in a registry.",
            "Add --push, and leave out --load and -o; or build for all platforms at once: --platform for each of them.",
        )
