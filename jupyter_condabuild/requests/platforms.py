"""OtherPlatformRequest: how close an environment must stay to the original when it is solved for another platform."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from jupyter_condabuild.conda.cross.levels import TRIED
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.requests.option import Request, option


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
