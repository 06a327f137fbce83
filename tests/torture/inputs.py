"""The inputs that cases of several kinds begin with: a small base image, and a build from a lock file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jupyter_condabuild.image.configuration import LABEL_ENGINE
from jupyter_condabuild.image.opener import LOCK_PATH
from jupyter_condabuild.oci import archive
from tests.parts.channel import hostile
from tests.parts.channel.hostile import Member
from tests.parts.small_image import image, tar
from tests.torture.case import Command, Place


def base(place: Place) -> str:
    """A base image of a few bytes, as ``--base`` takes it."""
    path = place.work / "base.tar"
    archive.write(image([tar({"etc/base": b"1"})], Env=["PATH=/usr/bin"]), "", path)
    return f"oci-archive:{path}"


def build_lockfile(place: Place, text: str, *more: str) -> Command:
    """A build of a lock file's text into an archive."""
    path = place.work / "lock.txt"
    path.write_text(text)
    return ["build", "--lockfile", path, "-o", place.out / "image.tar", "--base", base(place), *more]


def build_package(place: Place, members: Sequence[Member], paths: object, **info: object) -> Sequence[Command]:
    """A build of one package, from its ``.conda`` archive."""
    made = hostile.conda(place.work, members, hostile.info(paths, **info))  # type: ignore[arg-type]
    return [build_lockfile(place, hostile.explicit(made))]


def build_archives(place: Place, *archives: Path) -> Sequence[Command]:
    """A build of some packages."""
    return [build_lockfile(place, hostile.explicit(*archives))]


def verify_archives(place: Place, *archives: Path) -> Sequence[Command]:
    """A check of an image whose lock file names some packages."""
    lock = hostile.explicit(*archives).encode()
    made = image([tar({LOCK_PATH: lock})], Labels={LABEL_ENGINE: "docker"})
    path = place.work / "image.tar"
    archive.write(made, "", path)
    return [["verify", f"oci-archive:{path}"]]


def build_prefix(place: Place, prefix: Path, *more: str) -> Sequence[Command]:
    """A report about an environment, and a build of it."""
    into = place.out / "image.tar"
    return [["snapshot", prefix], ["build", prefix, "-o", into, "--base", base(place), *more]]
