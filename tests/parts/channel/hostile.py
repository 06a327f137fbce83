"""Packages that no ordinary tool makes, with any members, paths.json and metadata, in either format."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.parts.channel.package import zstd

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"", mode: int = 0o644) -> Member:
    """Returns a regular file as a member of an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def link(name: str, target: str, *, hard: bool = False) -> Member:
    """Returns a symbolic or hard link as a member of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, target
    return info, b""


def special(name: str, kind: bytes) -> Member:
    """Returns a device node or FIFO (a type of `tarfile`) as a member of an archive."""
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = kind, 1, 3
    return info, b""


def path_entry(path: str, content: bytes | None = b"", kind: str = "hardlink", **more: Any) -> dict[str, Any]:
    """Returns an entry of paths.json. Without content, it has no hash and no size."""
    entry: dict[str, Any] = {"_path": path, "path_type": kind}
    if content is not None:
        entry |= {"sha256": hashlib.sha256(content).hexdigest(), "size_in_bytes": len(content)}
    return entry | more


def info(
    paths: object, name: str = "evil", index: Mapping[str, Any] | None = None, more: Mapping[str, bytes] | None = None
) -> list[Member]:
    """Returns the members in info/ of a package.

    Args:
        paths: the value of ``paths`` in info/paths.json, or the whole text of the file.
        index: the changed members of info/index.json.
        more: other files, by name.
    """
    known = {"name": name, "version": "1", "build": "0", "build_number": 0, "depends": [], "subdir": "noarch"}
    known |= {"noarch": "generic", **(index or {})}
    text = paths if isinstance(paths, bytes) else json.dumps({"paths": paths, "paths_version": 1}).encode()
    files = {"info/index.json": json.dumps(known).encode(), "info/paths.json": text, **(more or {})}
    return [file(path, content) for path, content in files.items()]


def tar(members: Iterable[Member]) -> bytes:
    """Returns the members as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def conda(folder: Path, members: Sequence[Member], infos: Sequence[Member], name: str = "evil") -> Path:
    """Writes a ``.conda`` archive."""
    path = folder / f"{name}-1-0.conda"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        for part, content in (("pkg", members), ("info", infos)):
            archive.writestr(f"{part}-{name}-1-0.tar.zst", zstd.compress(tar(content)))
    return path


def tar_bz2(folder: Path, members: Sequence[Member], infos: Sequence[Member], name: str = "evil") -> Path:
    """Writes an archive in the older format."""
    import bz2

    path = folder / f"{name}-1-0.tar.bz2"
    path.write_bytes(bz2.compress(tar([*infos, *members])))
    return path


def explicit(*archives: Path) -> str:
    """Returns an explicit lock file of archives on this machine."""
    lines = [f"{path.as_uri()}#{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in archives]
    return "\n".join(["# platform: linux-64", "@EXPLICIT", *lines, ""])
