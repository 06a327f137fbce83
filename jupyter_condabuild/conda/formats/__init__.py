"""The lock file formats. Each format has a module; `dump` and `load` choose the module."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jupyter_condabuild.conda.formats import conda_lock, environment, explicit, pixi, yaml
from jupyter_condabuild.conda.lockfile import MOST_BYTES, Format, Lockfile, check_consistent
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import size_text


def dump(
    lockfile: Lockfile,
    format: Format = "conda-lock",
    *,
    name: str = "",
    channels: Sequence[str] = (),
    hash: Literal["sha256", "md5"] = "sha256",
    others: Sequence[Lockfile] = (),
) -> str:
    """Returns the text of a lock file.

    Args:
        name: the name of the environment, for formats that contain a name.
        channels: the channels in order of priority, for formats that keep the order. Default: the channels of the lock
            file.
        hash: the kind of hash in an ``@EXPLICIT`` file. conda before version 24 reads only md5.
        others: the lock files of the same environment for other platforms, for formats that contain several.

    Raises LockfileError if there is no such format.
    """
    match format:
        case "conda-lock":
            return conda_lock.dump(lockfile, *others)
        case "explicit":
            return explicit.dump(lockfile, hash)
        case "pixi":
            return pixi.dump(lockfile, channels, others)
        case "environment":
            return environment.dump(lockfile, name, channels)
    raise LockfileError(
        f"There is no lock file format {format!r}.", "Choose conda-lock, explicit, pixi or environment."
    )


def load(
    source: Path | str,
    platform: str = "",
    *,
    environment: str = "",
    categories: Sequence[str] = (),
    check: bool = True,
    other: bool = False,
) -> Lockfile:
    """Reads a conda-lock.yml, an ``@EXPLICIT`` file or a pixi.lock.

    Args:
        source: the path of the lock file, or its text.
        platform: the platform to read from a lock file for several platforms. If it is empty, `platforms.choose`
            chooses the platform.
        environment: the environment to read from a pixi.lock. Default: ``default``, or the only environment.
        categories: the categories of packages to read from a conda-lock.yml. Default: `conda_lock.CATEGORIES`.
        check: whether a lock file is refused whose packages cannot be in one environment. A damaged environment has
            such a lock file: pip may list a package twice.
        other: whether a file without the platform is read for another of its platforms (see `platforms.choose`).

    Raises LockfileError for any other file, for a lock file that does not have the platform, the environment or a
    category, and for the faults of `check_consistent`.
    """
    text, where = (_read(source), str(source)) if isinstance(source, Path) else (source, "The lock file")
    lockfile = _load(text, where, platform, environment, categories, other=other)
    if check:
        check_consistent(lockfile, where)
    return lockfile


def _load(
    text: str, where: str, platform: str, environment: str, categories: Sequence[str], *, other: bool
) -> Lockfile:
    if re.search(r"^@EXPLICIT\s*$", text, re.MULTILINE):
        _refuse(where, "an @EXPLICIT file", environment=environment, category=categories)
        return explicit.load(text, where, platform, other=other)
    value = yaml.load(text, where)
    if isinstance(value, dict) and "package" in value and "metadata" in value:
        _refuse(where, "a conda-lock file", environment=environment)
        return conda_lock.load(value, where, platform, categories, other=other)
    if isinstance(value, dict) and "environments" in value and "packages" in value:
        _refuse(where, "a pixi.lock", category=categories)
        return pixi.load(value, where, platform, environment, other=other)
    raise LockfileError(
        f"{where} is not a lock file.", "Use a conda-lock.yml (version 1), a pixi.lock or an @EXPLICIT file."
    )


def _refuse(where: str, kind: str, **options: Sequence[str]) -> None:
    """Raises LockfileError if an option is given that the format has no meaning for."""
    for name, value in options.items():
        if value:
            has = "environments" if name == "environment" else "categories"
            raise LockfileError(f"{where} is {kind}, which has no {has}.", f"Leave out --{name}.")


def _read(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise LockfileError(f"Cannot read {path}: {error.strerror}.") from None
    if len(data) > MOST_BYTES:
        raise LockfileError(f"{path} is not a lock file: it has more than {size_text(MOST_BYTES)}.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LockfileError(f"{path} is not a text file in UTF-8.") from None
