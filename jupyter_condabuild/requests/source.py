"""LockfileRequest and SourceRequest: the environment or the lock file that an image is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.requests.option import Request, option
from jupyter_condabuild.requests.platforms import OtherPlatformRequest


def environment() -> Any:
    """Returns the option --environment."""
    return option(
        "",
        "the environment to use from a pixi.lock for several environments (default: default)",
        "--environment",
        metavar="NAME",
        client=True,
    )


def category() -> Any:
    """Returns the option --category."""
    return option(
        (),
        "use only the packages of this category from a conda-lock.yml (default: main and dev; can be repeated)",
        "--category",
        metavar="NAME",
        client=True,
    )


@dataclass(frozen=True, kw_only=True)
class LockfileRequest(Request):
    """What is read from a lock file that has more than one environment needs."""

    platform: str = option(
        "",
        "the platform to use from a lock file for several platforms, such as linux-64 or linux-aarch64 "
        "(default: this machine's); an environment or a lock file of other platforms is solved again for it",
        "--platform",
        metavar="PLATFORM",
        client=True,
    )
    environment: str = environment()
    category: tuple[str, ...] = category()


def exclude_editable() -> Any:
    """Returns the option --exclude-editable."""
    return option(
        (),
        "leave out this editable install: its code, its files in the environment, and its line in the lock file "
        "(can be repeated)",
        "--exclude-editable",
        metavar="NAME",
        client=True,
    )


@dataclass(frozen=True, kw_only=True)
class SourceRequest(LockfileRequest, OtherPlatformRequest):
    """The source of an image: an environment (`prefix`) or a lock file (`lockfile`), one of the two.

    `default_platforms` are those for which an environment of macOS or Windows is solved if the request names no
    platform.
    """

    prefix: Path | None = option(
        None, "the folder of an environment (default: the active environment)", metavar="PREFIX", shown=True
    )
    lockfile: Path | None = option(None, "a lock file to use instead of PREFIX", "--lockfile", metavar="FILE")
    default_platforms: tuple[str, ...] = option((), setting="platforms")
    channel_login: tuple[str, ...] = option(
        (),
        "send the variables that the lock file names for a login, such as $TOKEN, to this host or HOST:PORT "
        "(can be repeated)",
        "--channel-login",
        metavar="HOST",
    )
    exclude_editable: tuple[str, ...] = exclude_editable()

    def platform_of(self, lockfile: Lockfile) -> str:
        """Returns the platform of the image; empty for that of the lock file, which is that of the source."""
        can_be_in_an_image = lockfile.platform.startswith("linux-")
        return self.platform or ("" if can_be_in_an_image else next(iter(self.default_platforms), ""))

    def __post_init__(self) -> None:
        """Raises UsageError unless exactly one of `prefix` and `lockfile` is given, and their options fit.

        A request that does not take the active environment (`takes_active`) may have neither.
        """
        super().__post_init__()
        if self.prefix or self.lockfile or self.takes_active(vars(self)):
            check_one_source(self.label, self.prefix, self.lockfile)
        if self.prefix and (self.environment or self.category):
            raise UsageError(
                f"--{'environment' if self.environment else 'category'} chooses from a lock file, but "
                f"{self.label.lower()} names an environment.",
                "Give --lockfile FILE, or leave out the option.",
            )


def check_one_source(label: str, prefix: Path | None, lockfile: Path | None) -> None:
    """Raises UsageError unless exactly one of an environment and a lock file is given. `label` names the request."""
    if (prefix is None) == (lockfile is None):
        raise UsageError(
            f"{label} needs either an environment or a lock file, not both.",
            "Give the folder of an environment, or --lockfile FILE.",
        )
