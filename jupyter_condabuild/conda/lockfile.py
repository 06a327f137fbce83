"""Lockfile: exactly which packages an environment consists of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from jupyter_condabuild.conda.packages import CondaPackage, PipPackage, site_packages_of

Format = Literal["conda-lock", "explicit", "pixi", "environment"]
"""The names of the formats of lock files; ``environment`` is written only."""


@dataclass(frozen=True)
class Lockfile:
    """An environment's packages, without anything of the machine or the person it was seen at.

    `channels` are the packages' channels, sorted; `conda` and `pip` are sorted by name. `requested` are the specs that
    people asked for, as far as the format tells them; whoever asked for something else has the same lock file.
    `platforms` are those of the file that the lock file was read from, `platform` among them.
    """

    platform: str
    channels: tuple[str, ...]
    conda: tuple[CondaPackage, ...]
    pip: tuple[PipPackage, ...] = ()
    requested: tuple[str, ...] = field(default=(), compare=False)
    platforms: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def digest(self) -> str:
        """``sha256:…``, the identity of the environment's content: each package's origin and hash.

        Dependencies and sizes are left out: channels patch them afterwards, and an environment made again from its
        lock file has the unpatched ones in its records. The canonical dump holds the digest as its content_hash.
        """
        lines = [f"platform {self.platform}"]
        lines += [f"conda {package.url} {package.sha256 or package.md5}" for package in self.conda]
        for pip in self.pip:
            fields = (pip.name, pip.version, pip.url, pip.index, pip.sha256, "editable" if pip.editable else "")
            lines.append("pip " + " ".join(fields))
        return "sha256:" + hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def python(self) -> CondaPackage | None:
        """The Python package, if there is one."""
        return next((package for package in self.conda if package.name == "python"), None)

    @property
    def site_packages(self) -> str:
        """Where Python's packages lie, relative to the prefix; empty without Python."""
        python = self.python
        if python is None:
            return ""
        return python.python_site_packages_path or site_packages_of(python.version, python.build)


def of_packages(
    platform: str,
    conda: Sequence[CondaPackage],
    pip: Sequence[PipPackage],
    requested: Sequence[str] = (),
    platforms: Sequence[str] = (),
) -> Lockfile:
    """A lock file of packages in any order."""
    return Lockfile(
        platform=platform,
        channels=tuple(sorted({package.channel for package in conda})),
        conda=tuple(sorted(conda)),
        pip=tuple(sorted(pip)),
        requested=tuple(requested),
        platforms=tuple(platforms),
    )
