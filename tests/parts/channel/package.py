"""The `.conda` format: it is written from metadata and a tree of files. The same input gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import stat
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MTIME = 1_700_000_000  # seconds; the time of every file of every package, which the headers of bytecode contain
PLACEHOLDER = "/home/builder/work/_h_env_" + "placehold_" * 22 + "placehold"  # 255 characters, as in conda-build
EMPTY_SHA256 = hashlib.sha256().hexdigest()
LEVEL = 3  # the level of zstd; conda-forge's 19 needs minutes for a channel of 1 GB

Mode = Literal["text", "binary"]
assert len(PLACEHOLDER) == 255


@dataclass(frozen=True)
class File:
    """A regular file. `placeholder` is the prefix in its bytes, which is replaced at the installation."""

    path: str
    content: bytes | Path
    mode: int = 0o644
    placeholder: str | None = None
    file_mode: Mode = "text"
    no_link: bool = False


@dataclass(frozen=True)
class Symlink:
    """A symbolic link. Its target can be bytes that are not UTF-8."""

    path: str
    target: str


@dataclass(frozen=True)
class Folder:
    """An empty folder. It is only in the archive, because no installer links a folder of `paths.json`."""

    path: str


Entry = File | Symlink | Folder


@dataclass(frozen=True)
class Metadata:
    """The data of a package in `info/`, without its files. With `abi3`, a noarch package is for linux-64 (CEP 20).

    `platform` is not in the repr, which is in the keys of packages that the caches of the tests have already.
    """

    name: str
    version: str
    build: str = "0"
    build_number: int = 0
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    noarch: Literal["python", "generic"] | None = None
    entry_points: tuple[str, ...] = ()
    license: str = ""
    summary: str = ""
    site_packages: str | None = None
    about: Mapping[str, object] = field(default_factory=dict)
    licenses: Mapping[str, bytes] = field(default_factory=dict)
    abi3: bool = False
    platform: str = field(default="linux-64", repr=False)

    @property
    def stem(self) -> str:
        """`name-version-build`, the name of the file without its extension."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def subdir(self) -> str:
        """The folder of the channel for the package."""
        return "noarch" if self.noarch and not self.abi3 else self.platform

    def index(self) -> dict[str, object]:
        """Returns the content of `info/index.json`."""
        index: dict[str, object] = {"name": self.name, "version": self.version, "build": self.build}
        index |= {"build_number": self.build_number, "subdir": self.subdir, "timestamp": MTIME * 1000}
        index |= {"depends": list(self.depends), "constrains": list(self.constrains)}
        if self.noarch:
            index |= {"noarch": self.noarch, "arch": None, "platform": None}
        else:
            system, _, processor = self.platform.partition("-")
            index |= {"arch": {"64": "x86_64"}.get(processor, processor), "platform": system}
        if self.license:
            index["license"] = self.license
        if self.site_packages:
            index["python_site_packages_path"] = self.site_packages
        return index


def from_folder(folder: Path, placeholder: str | None = None) -> list[Entry]:
    """Returns the entries of a folder.

    A file with `placeholder` is marked as binary if it has a NUL, otherwise as text.
    """
    entries: list[Entry] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            entries.append(Symlink(name, str(path.readlink())))
        elif path.is_dir():
            if not any(path.iterdir()):
                entries.append(Folder(name))
        else:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = path.read_bytes() if placeholder else b""
            if placeholder and placeholder.encode() in content:
                entries.append(File(name, path, mode, placeholder, "binary" if b"\0" in content else "text"))
            else:
                entries.append(File(name, path, mode))
    return entries


def write(metadata: Metadata, entries: Iterable[Entry], folder: Path, level: int = LEVEL) -> Path:
    """Writes `folder/<stem>.conda`, and returns its path.

    `conda_builder` of conda-package-streaming writes the current time into the archive. This function writes the same
    layout with fixed times, as a stream.
    """
    entries = sorted(entries, key=lambda entry: entry.path)
    path = folder / f"{metadata.stem}.conda"
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member("metadata.json"), json.dumps({"conda_pkg_format_version": 2}))
        with _tar(archive, f"pkg-{metadata.stem}.tar.zst", level) as tar:
            digests = {entry.path: _add(tar, entry) for entry in entries}
        with _tar(archive, f"info-{metadata.stem}.tar.zst", level) as tar:
            for name, content in _info(metadata, entries, digests).items():
                _add(tar, File(f"info/{name}", content))
    return partial.replace(path)


def _info(metadata: Metadata, entries: list[Entry], digests: Mapping[str, str]) -> dict[str, bytes]:
    listed = [entry for entry in entries if not isinstance(entry, Folder)]
    paths = [_path(entry, listed, digests) for entry in listed]
    info = {
        "about.json": _json({"license": metadata.license, "summary": metadata.summary, **metadata.about}),
        "files": "".join(f"{entry.path}\n" for entry in listed).encode(),
        "index.json": _json(metadata.index()),
        "paths.json": _json({"paths": paths, "paths_version": 1}),
    }
    prefixed = [e for e in entries if isinstance(e, File) and e.placeholder]
    if prefixed:
        info["has_prefix"] = "".join(f'"{e.placeholder}" {e.file_mode} "{e.path}"\n' for e in prefixed).encode()
    info |= {f"licenses/{name}": content for name, content in metadata.licenses.items()}
    if metadata.noarch:
        noarch: dict[str, object] = {"type": metadata.noarch}
        if metadata.entry_points:
            noarch["entry_points"] = list(metadata.entry_points)
        info["link.json"] = _json({"noarch": noarch, "package_metadata_version": 1})
    return info


def _path(entry: File | Symlink, entries: list[File | Symlink], digests: Mapping[str, str]) -> dict[str, object]:
    """Returns an entry of `info/paths.json`.

    As in conda-build, a link to a file has the digest and size of the file.
    """
    if isinstance(entry, Symlink):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.target))
        files = {e.path: e for e in entries if isinstance(e, File)}
        size = _size(files[target].content) if target in files else 0
        return {
            "_path": entry.path,
            "path_type": "softlink",
            "sha256": digests.get(target, EMPTY_SHA256),
            "size_in_bytes": size,
        }
    path: dict[str, object] = {"_path": entry.path}
    if entry.no_link:
        path["no_link"] = True
    path |= {"path_type": "hardlink", "sha256": digests[entry.path], "size_in_bytes": _size(entry.content)}
    if entry.placeholder:
        path |= {"file_mode": entry.file_mode, "prefix_placeholder": entry.placeholder}
    return path


def _add(tar: tarfile.TarFile, entry: Entry) -> str:
    """Adds an entry to `tar`, and returns the SHA-256 of its content."""
    info = tarfile.TarInfo(entry.path)
    info.mtime = MTIME
    if isinstance(entry, Folder):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
        return EMPTY_SHA256
    if isinstance(entry, Symlink):
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, entry.target
        tar.addfile(info)
        return EMPTY_SHA256
    info.mode, info.size = entry.mode, _size(entry.content)
    with io.BytesIO(entry.content) if isinstance(entry.content, bytes) else entry.content.open("rb") as source:
        reader = _Hashing(source)
        tar.addfile(info, reader)  # type: ignore[arg-type]
    return reader.sha256.hexdigest()


class _Hashing:
    """A reader that computes the digest of its bytes."""

    def __init__(self, source: BinaryIO) -> None:
        self.source = source
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self.source.read(size)
        self.sha256.update(block)
        return block


@contextmanager
def _tar(archive: zipfile.ZipFile, name: str, level: int) -> Iterator[tarfile.TarFile]:
    """Writes a compressed tar as a stored member of the archive."""
    with (
        archive.open(_member(name), "w", force_zip64=True) as member,
        zstd.ZstdFile(member, "w", level=level) as stream,
        tarfile.open(fileobj=stream, mode="w|", bufsize=1 << 20, format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20))


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
