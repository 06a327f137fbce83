"""Hostile archives of packages: members that are no files of the package, bombs, and archives that readers dispute."""

from __future__ import annotations

import bz2
import functools
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.parts.channel.hostile import Member, conda, file, info, link, path_entry, special, tar, tar_bz2
from tests.parts.channel.package import zstd
from tests.torture.case import Case, Command, Place
from tests.torture.inputs import build_archives, build_lockfile

MEGABYTE = 1 << 20

Members = Callable[[Place], Sequence[Member]]
Prepare = Callable[[Place], Sequence[Command]]


def _above(place: Place, name: str) -> str:
    return "../" * 12 + str(place.home / name).lstrip("/")


MEMBERS: dict[str, Members] = {
    "an absolute file": lambda place: [file(str(place.home / "notes.txt"), b"changed")],
    "a file above": lambda place: [file(_above(place, "notes.txt"), b"changed")],
    "a file behind a folder above": lambda place: [file("share/" + _above(place, "notes.txt"), b"changed")],
    "a file through a link": lambda place: [link("d", str(place.home)), file("d/notes.txt", b"changed")],
    "a file through two links": lambda place: [
        *(link("d", "e/f"), link("e", str(place.folder)), link("f", "home")),
        file("d/notes.txt", b"changed"),
    ],
    "a file in the place of a link": lambda place: [
        link("notes.txt", str(place.home / "notes.txt")),
        file("notes.txt", b"changed"),
    ],
    "a folder in the place of a link": lambda place: [link("d", str(place.home)), _folder("d"), file("d/x", b"made")],
    "a link in the place of a folder": lambda place: [file("d/x"), link("d", str(place.home)), file("d/y", b"made")],
    "a hard link to the user's file": lambda place: [link("x", str(place.home / ".docker/config.json"), hard=True)],
    "a hard link above": lambda place: [link("x", _above(place, ".docker/config.json"), hard=True)],
    "a hard link through a link": lambda place: [
        link("d", str(place.home / ".docker")),
        link("x", "d/config.json", hard=True),
    ],
    "a hard link to a link": lambda place: [link("l", str(place.home / "notes.txt")), link("x", "l", hard=True)],
    "a hard link to itself": lambda _: [link("x", "x", hard=True)],
    "a character device": lambda _: [special("x", tarfile.CHRTYPE)],
    "a block device": lambda _: [special("x", tarfile.BLKTYPE)],
    "a FIFO": lambda _: [special("x", tarfile.FIFOTYPE)],
    "a member of an unknown type": lambda _: [special("x", b"Z")],
    "a name of 1 MB": lambda _: [file("n" * MEGABYTE)],
    "a path of 1 MB": lambda _: [file("n/" * (MEGABYTE // 2) + "n")],
    "a target of 1 MB": lambda _: [link("x", "n" * MEGABYTE)],
    "an owner of 1 MB": lambda _: [_with_header("x", uname="n" * MEGABYTE)],
    "folders 1,000 deep": lambda _: [file("d/" * 1020 + "x")],
    "a sparse file": lambda _: [_with_header("x", **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})],
    "a time beyond all": lambda _: [_with_header("x", mtime="1e300")],
    "6,000 empty files": lambda _: [file(f"f{number}") for number in range(6000)],
    "30 MB of zeros": lambda _: [file("zeros", bytes(30 * MEGABYTE))],
}
"""Members that no honest package has; all that cannot be harmless must be refused."""

HARMLESS = ("a file in the place of a link", "a time beyond all", "a size of minus 512")

SETUID = {"a setuid program": lambda _: [file("bin/x", b"#!/bin/sh", 0o6755)]}
CLASHES = {
    "names that differ in case": ["share/X", "share/x", "SHARE/x"],
    "names that differ in composition": ["share/é", "share/é"],
    "a name twice": ["share/x", "share/x"],
}


def _folder(name: str) -> Member:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    return member, b""


def _large_file(size: int) -> bytes:
    member = tarfile.TarInfo("x")
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def _with_header(name: str, **values: str) -> Member:
    member, content = file(name)
    member.pax_headers = values
    return member, content


def _of_members(make: Callable[..., Path], members: Members, place: Place) -> Sequence[Command]:
    return build_archives(place, make(place.work, members(place), info([])))


def _of_files(names: Sequence[str], place: Place) -> Sequence[Command]:
    files = [file(name, name.encode()) for name in names]
    return build_archives(place, conda(place.work, files, info([path_entry(name, name.encode()) for name in names])))


def _of_bytes(name: str, data: Callable[[], bytes]) -> Prepare:
    def prepare(place: Place) -> Sequence[Command]:
        path = place.work / name
        path.write_bytes(data())
        return build_archives(place, path)

    return prepare


def _zip(parts: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return out.getvalue()


PKG, INFO = "pkg-evil-1-0.tar.zst", "info-evil-1-0.tar.zst"


def _parts(content: bytes | None = None, infos: Sequence[Member] | None = None) -> list[tuple[str, bytes]]:
    return [
        (PKG, zstd.compress(tar([]) if content is None else content)),
        (INFO, zstd.compress(tar(info([]) if infos is None else infos))),
    ]


def _zeros(count: int) -> bytes:
    """Many megabytes of zeros, compressed."""
    return zstd.compress(bytes(count << 20))


def _nested_names() -> bytes:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 5
    return member.tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0")


def _long_name(count: int) -> bytes:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, count << 20
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(count << 20)


def _hidden() -> bytes:
    """A part before the archive that only readers of local headers see, with a file above."""
    hidden = _zip([(PKG, zstd.compress(tar([file("../../../hidden")])))])
    return hidden[: hidden.index(b"PK\1\2")] + _zip(_parts())


BYTES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zeros behind the tar": ("evil-1-0.conda", lambda: _zip(_parts(tar([]) + bytes(30 << 20)))),
    "a bomb of 200 MB": ("evil-1-0.conda", lambda: _zip([(PKG, _zeros(200)), _parts()[1]])),
    "a bomb of 200 MB in bzip2": ("evil-1-0.tar.bz2", lambda: bz2.compress(bytes(200 << 20))),
    "a bomb below info/": ("evil-1-0.conda", lambda: _zip([_parts()[0], (INFO, _zeros(200))])),
    "a name of 200 MB": ("evil-1-0.conda", lambda: _zip(_parts(_long_name(200)))),
    "names of names of names": ("evil-1-0.conda", lambda: _zip(_parts(_nested_names() * 5000))),
    "members compressed twice": ("evil-1-0.conda", lambda: _zip(_parts(), zipfile.ZIP_DEFLATED)),
    "two packages in one": ("evil-1-0.conda", lambda: _zip([*_parts(), ("pkg-other.tar.zst", _parts()[0][1])])),
    "a part that only some readers see": ("evil-1-0.conda", lambda: _hidden()[:-1]),
    "no parts": ("evil-1-0.conda", lambda: _zip([("x", b"")])),
    "40,000 members of a zip": ("evil-1-0.conda", lambda: _zip([(f"{n}", b"") for n in range(40_000)])),
    "a tar": ("evil-1-0.conda", lambda: tar(info([]))),
    "nothing": ("evil-1-0.conda", lambda: b""),
    "a cut archive": ("evil-1-0.conda", lambda: _zip(_parts())[:-40]),
    "a cut tar": ("evil-1-0.tar.bz2", lambda: bz2.compress(tar(info([]))[:700])),
    "no tar": ("evil-1-0.tar.bz2", lambda: bz2.compress(b"noise" * 2000)),
    "a size beyond the end": ("evil-1-0.conda", lambda: _zip(_parts(_large_file(1 << 40)))),
    "a size of minus 512": ("evil-1-0.conda", lambda: _zip(_parts(_large_file(-512)))),
}


def _a_hidden_part(place: Place) -> Sequence[Command]:
    path = place.work / "evil-1-0.conda"
    path.write_bytes(_hidden())
    return build_archives(place, path)


def _a_file_that_is_not_what_its_hash_says(place: Place) -> Sequence[Command]:
    return build_archives(place, conda(place.work, [file("x", b"other")], info([path_entry("x", b"said")])))


def _an_archive_that_is_a_pipe(place: Place) -> Sequence[Command]:

    os.mkfifo(place.work / "evil-1-0.conda")
    text = f"# platform: linux-64\n@EXPLICIT\n{(place.work / 'evil-1-0.conda').as_uri()}#{'a' * 64}\n"
    return [build_lockfile(place, text)]


def _an_archive_that_is_a_device(place: Place) -> Sequence[Command]:
    (place.work / "evil-1-0.conda").symlink_to("/dev/zero")
    text = f"# platform: linux-64\n@EXPLICIT\n{(place.work / 'evil-1-0.conda').as_uri()}#{'a' * 64}\n"
    return [build_lockfile(place, text)]


def _cases() -> Iterator[Case]:
    for number, (name, members) in enumerate(MEMBERS.items()):
        make = (conda, tar_bz2)[number % 2]
        refused = name not in HARMLESS
        yield Case("archive", name, functools.partial(_of_members, make, members), refused=refused)
    for name, (file_name, data) in BYTES.items():
        yield Case("archive", name, _of_bytes(file_name, data), refused=name not in HARMLESS)
    for name, members in SETUID.items():
        yield Case("archive", name, functools.partial(_of_members, conda, members))
    for name, names in CLASHES.items():
        yield Case("archive", name, functools.partial(_of_files, names))
    yield Case("archive", "a part before the zip", _a_hidden_part)
    yield Case("archive", "a file of another hash", _a_file_that_is_not_what_its_hash_says, refused=True)
    yield Case("archive", "an archive that is a pipe", _an_archive_that_is_a_pipe, refused=True)
    yield Case("archive", "an archive that is a device", _an_archive_that_is_a_device, refused=True)


CASES = list(_cases())
