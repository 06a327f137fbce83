"""Where a base is when its registry does not answer: in another registry, an engine or an archive, or made here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from jupyter_condabuild.debian.mirror import Mirror
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.files import open_regular
from jupyter_condabuild.oci.archive_reader import Archive
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.oci.retry import Patience

_ONCE = Patience(attempts=1, answer=4.0)
_ENGINE_SECONDS = 2.0
_MIRROR_SECONDS = 2.0
_MOST_ENTRIES, _MOST_ARCHIVES = 1000, 20
_SUITE = "bookworm"
_SUITES = {"11": "bullseye", "12": "bookworm", "13": "trixie"}

WITHOUT = (
    "On a machine that reaches the registry, run 'skopeo copy docker://{0} oci-archive:base.tar:{0}' or 'docker save "
    "{0} --output base.tar'. Then name the file as the base: oci-archive:base.tar, or docker-archive:base.tar."
)
"""What to do if the base is nowhere near. `{0}` is the name of the base."""


def nearby(
    base: Reference,
    registry: str,
    insecure: Collection[str] = (),
    allowed: Collection[str] = (),
    docker_host: str | None = None,
    folder: Path | None = None,
    mirrors: Sequence[str] = (),
) -> tuple[str, ...]:
    """Returns the names under which an image of the same name can be used, the best first; none if none is found.

    Nobody says that such an image has the same content: the user decides. The last one is a small Debian that is made
    of packages, if a mirror of Debian answers.

    Args:
        base: the base whose registry does not answer.
        registry: the registry of the images, and the path in it; empty if there is none.
        folder: the user's folder, whose archives, and those in its folders, are read; named relative to it.
        mirrors: the URLs of mirrors of Debian.
    """
    return (
        *_in_registry(base, registry, insecure, allowed),
        *_in_engine(base, docker_host),
        *(_in_archives(base, folder) if folder else ()),
        *_made(base, mirrors),
    )


def _in_registry(base: Reference, registry: str, insecure: Collection[str], allowed: Collection[str]) -> Iterator[str]:
    host, _, path = registry.strip("/").partition("/")
    if not host or host == base.registry:
        return
    short = base.repository.removeprefix("library/")
    own = f"{path}/" if path else ""
    # As in mirrors that copy Docker Hub's names, in a flat mirror, and in the folder of the lab's own images.
    repositories = dict.fromkeys((base.repository, short, own + short, own + short.rpartition("/")[2]))
    with (
        suppress(CondaBuildError),
        open_registry(Reference(host, base.repository), insecure, patience=_ONCE, allowed=allowed) as opened,
    ):
        for repository in repositories:
            with suppress(CondaBuildError):
                if opened.repository(repository).head(base.target):
                    yield str(Reference(host, repository, base.tag, base.digest))


def _in_engine(base: Reference, docker_host: str | None) -> Iterator[str]:
    names = [str(base)]
    if base.registry == "docker.io":
        names.insert(0, str(base).removeprefix("docker.io/").removeprefix("library/"))
    with suppress(CondaBuildError), Daemon.connect(docker_host or None, _ENGINE_SECONDS) as daemon:
        for name in names:
            if daemon.image_id(name):
                yield str(ImageLocation("docker-daemon", name))
                return


def _in_archives(base: Reference, folder: Path) -> Iterator[str]:
    """Yields the archives in a folder, and in its folders, that name an image as the base. Links are not followed."""
    for path in islice(_archives(folder), _MOST_ARCHIVES):
        with (
            suppress(CondaBuildError, OSError),
            open(open_regular(folder / path), "rb", 0) as file,
            Archive(file, str(path)) as archive,
        ):
            if base.digest in archive.digests or any(_is_named(name, base) for name in archive.names):
                yield str(ImageLocation(archive.kind, path.as_posix()))


def _archives(folder: Path) -> Iterator[Path]:
    folders = [Path()]
    for inner in folders:
        with suppress(OSError), os.scandir(folder / inner) as entries:
            for entry in sorted(islice(entries, _MOST_ENTRIES), key=lambda entry: entry.name):
                if entry.name.startswith(".") or entry.is_symlink():
                    continue
                if entry.name.endswith(".tar") and ":" not in entry.name and entry.is_file(follow_symlinks=False):
                    yield inner / entry.name
                elif inner == Path() and len(folders) < _MOST_ENTRIES and entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.name))


def _is_named(name: str, base: Reference) -> bool:
    with suppress(CondaBuildError):
        return Reference.parse(name) == base
    return False


def _made(base: Reference, mirrors: Sequence[str]) -> Iterator[str]:
    """Yields the base that is made of Debian's packages: that of the release in the tag of a base from Debian."""
    words = base.tag.split("-") if base.repository.rpartition("/")[2] == "debian" else []
    suite = next((_SUITES.get(word, word) for word in words if _SUITES.get(word, word) in _SUITES.values()), _SUITE)
    with suppress(CondaBuildError, OSError):
        for mirror in map(Mirror, mirrors[:1]):
            if mirror.answers(suite, _MIRROR_SECONDS):
                yield str(ImageLocation("debian-packages", suite))
