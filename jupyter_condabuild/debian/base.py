"""DebianBase: which packages make the base of a suite, and the paths of the base."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.debian.archive import USE_ANOTHER, Member, Unpacked, unpack
from jupyter_condabuild.debian.mirror import Mirror, NotAtMirror, Release
from jupyter_condabuild.debian.packages import DebianPackage, PackageIndex
from jupyter_condabuild.debian.system_files import system_files
from jupyter_condabuild.errors import BaseUnavailable, UnsafePackage

NAMES = (
    *("base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "diffutils", "findutils", "grep"),
    # libstdc++6 is for wheels from PyPI, and ncurses-base for people who work in a terminal of a container.
    *("gzip", "hostname", "libc-bin", "libstdc++6", "ncurses-base", "sed", "tar", "tzdata"),
)
"""The packages of the base. Those that they need are added."""

BASE_VERSION = 1
"""Part of the key of the layer. Raise this number with every change that makes other files of the same packages."""

ARCHITECTURES = {"arm": "armhf", "386": "i386", "ppc64le": "ppc64el"}
"""Debian's names of processors by their GOARCH names, where they differ."""

_SUITE = re.compile(r"[a-z][a-z0-9-]{1,40}", re.ASCII)
_LEFT_OUT = re.compile(r"usr/share/(?:doc/(?!.*/copyright$)|man/|info/|locale/|lintian/|linda/|groff/)")
"""Debian's own slim image leaves out the same paths: https://github.com/debuerreotype/debuerreotype (slimify)."""

_MERGED = re.compile(r"(?:bin|sbin|lib|lib32|lib64|libo32|libx32)(?:/|$)")
_AT_ONCE = 6


@dataclass(frozen=True)
class DebianBase:
    """The packages of a base, sorted by name, from mirrors, and the Release of the suite.

    `architecture` is a GOARCH name.
    """

    release: Release
    architecture: str
    packages: tuple[DebianPackage, ...]
    mirrors: tuple[Mirror, ...]

    @property
    def key(self) -> str:
        """The hexadecimal key of the layer: equal for equal packages, whatever mirror they come from."""
        text = "\n".join([f"debian {BASE_VERSION}", *sorted(package.sha256 for package in self.packages)])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def size(self) -> int:
        """The size of the packages in bytes. The layer has about the same."""
        return sum(package.size for package in self.packages)

    def members(self, folder: Path) -> list[Member]:
        """Downloads and unpacks the packages into an empty folder, and returns the paths of the base.

        Raises BaseUnavailable, UnsafePackage or OSError.
        """
        unpacked = fetched(self.packages, self.mirrors, folder)
        found = _merged(zip(self.packages, unpacked, strict=True))

        def read(path: str) -> bytes:
            return Path(found[path].source).read_bytes()

        files = [path for path, member in found.items() if member.kind == "file" and member.source]
        for member in system_files(files, read, list(zip(self.packages, unpacked, strict=True))):
            found[member.path] = member
        check_folders(found)
        return list(found.values())


def find_base(
    suite: str,
    architecture: str,
    urls: Sequence[str],
    kept: Callable[[str, int, Iterator[bytes]], bytes],
    say: Callable[[str], None],
) -> DebianBase:
    """Finds the newest packages of the base of a suite at mirrors.

    Args:
        suite: the name of a release, such as ``bookworm``.
        architecture: the processor, as a GOARCH name.
        urls: the mirror of the archive; after it, the mirror of the security updates, if there is one.
        kept: see `Mirror.index`.
        say: called with what a person should know.

    Raises BaseUnavailable.
    """
    index, release, mirrors = read_index(suite, architecture, urls, kept, say)
    return DebianBase(release, architecture, tuple(index.closure(NAMES)), mirrors)


def read_index(
    suite: str,
    architecture: str,
    urls: Sequence[str],
    kept: Callable[[str, int, Iterator[bytes]], bytes],
    say: Callable[[str], None],
) -> tuple[PackageIndex, Release, tuple[Mirror, ...]]:
    """Reads the indexes of a suite at mirrors. The arguments are those of `find_base`, and the errors too."""
    if not _SUITE.fullmatch(suite):
        raise BaseUnavailable(f"{suite[:60]!r} is not a release of Debian.", "Name one: bookworm, or trixie.")
    if not urls:
        raise BaseUnavailable("No mirror of Debian is set.", "Set debian_mirrors.")
    mirrors = tuple(map(Mirror, urls))
    name = ARCHITECTURES.get(architecture, architecture)
    index, releases = PackageIndex(), []
    for mirror, part in [(mirrors[0], suite), (mirrors[0], f"{suite}-updates")] + [
        (mirror, f"{suite}-security") for mirror in mirrors[1:]
    ]:
        try:
            release = mirror.release(part)
        except NotAtMirror as error:
            if part != f"{suite}-updates":
                raise BaseUnavailable(f"The mirror {mirror.url} has no {part}. {error.message}", error.hint) from None
            continue
        index.add(mirror.index(release, name, kept), mirror.url)
        releases.append(release)
    for words in dict.fromkeys(release.vouched_by for release in releases):
        say(f"The packages of Debian come from {', '.join(urls)}: {words}.")
    if len(urls) == 1:
        say("No mirror of Debian's security updates is set: the packages have none since the last point release.")
    return index, releases[0], mirrors


def fetched(packages: Sequence[DebianPackage], mirrors: Sequence[Mirror], folder: Path) -> list[Unpacked]:
    """Downloads packages and unpacks them into an empty folder, without manual pages and translations.

    Raises BaseUnavailable, UnsafePackage or OSError.
    """
    by_url = {mirror.url: mirror for mirror in mirrors}

    def fetch(package: DebianPackage) -> Unpacked:
        archive = folder / f"{package.name}.deb"
        by_url[package.origin].download(package, archive)
        unpacked = unpack(archive, folder, lambda path: not _LEFT_OUT.match(path))
        archive.unlink()
        return unpacked

    with ThreadPoolExecutor(_AT_ONCE, "debian") as threads:
        return list(threads.map(fetch, packages))


def _merged(packages: Iterator[tuple[DebianPackage, Unpacked]]) -> dict[str, Member]:
    """Returns the paths of all packages. ``/bin``, ``/sbin`` and ``/lib*`` are links into ``/usr``.

    Raises UnsafePackage if two packages have the same file.
    """
    found: dict[str, Member] = {}
    roots: set[str] = set()
    for package, unpacked in packages:
        for member in unpacked.members:
            path = member.path
            if _MERGED.match(path):
                roots.add(path.partition("/")[0])
                if "/" not in path:
                    continue
                path = f"usr/{path}"
            other = found.get(path)
            if other and (other.kind != "directory" or member.kind != "directory"):
                if other.kind == member.kind == "symlink" and other.target == member.target:
                    continue
                raise UnsafePackage(
                    f"The package {package.name} has /{path}, which another package has, too.", USE_ANOTHER
                )
            found[path] = Member(path, member.kind, member.mode, member.source, member.data, member.target)
    for root in sorted(roots):
        found[root] = Member(root, "symlink", 0o777, target=f"usr/{root}")
        found.setdefault(f"usr/{root}", Member(f"usr/{root}", "directory", 0o755))
    return found


def check_folders(found: dict[str, Member]) -> None:
    """Raises UnsafePackage if a path is below a link or a file."""
    for path in found:
        parent = path
        while parent := parent.rpartition("/")[0]:
            if parent in found and found[parent].kind != "directory":
                raise UnsafePackage(f"A package has /{path}, but /{parent} is not a folder.", USE_ANOTHER)
