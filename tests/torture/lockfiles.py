"""Hostile lock files: documents that grow, values of other types, and URLs that lead anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.torture.case import SECRET, Case, Command, Place
from tests.torture.inputs import base

HASH = "ab" * 32
_LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + chr(ord(name) - 1)] * 9)}]\n" for name in "bcdefghi"
)


def entry(**changed: object) -> dict[str, object]:
    """A package of a conda-lock file."""
    return {
        "name": "a",
        "version": "1",
        "manager": "conda",
        "platform": "linux-64",
        "dependencies": {},
        "url": "https://h/linux-64/a-1-0.conda",
        "hash": {"sha256": HASH},
        **changed,
    }


def conda_lock(*entries: object, **metadata: object) -> str:
    """The text of a conda-lock file. JSON is YAML."""
    value = {"version": "1", "metadata": {"platforms": ["linux-64"], **metadata}, "package": list(entries)}
    return json.dumps(value)


def pixi(entries: Sequence[object], references: Sequence[object]) -> str:
    """The text of a pixi.lock."""
    default = {"channels": [], "packages": {"linux-64": list(references)}}
    return json.dumps({"version": "6", "environments": {"default": default}, "packages": list(entries)})


def _many_depends() -> str:
    url = "https://h/linux-64/a-1-0.conda"
    return pixi([{"conda": url, "sha256": HASH, "depends": ["b >=1"] * 100_000}], [{"conda": url}])


TEXTS: dict[str, str | bytes] = {
    "aliases that double": _LAUGHS,
    "one alias": "a: &a [1]\nb: *a\n",
    "a merge key": "a: &a {b: 1}\nc: {<<: *a}\n",
    "a deep list": "[" * 100_000,
    "a deep mapping": "{a: " * 50_000,
    "a million values": "- a\n" * 1_200_000,
    "a text of 60 MB": "version: " + "1" * 60_000_000,
    "comments of 60 MB": "# c\n" * 15_000_000,
    "several documents": "a: 1\n---\nb: 2\n",
    "a key that is no text": "? [a]\n: b\n",
    "an object of Python": "!!python/object/apply:os.system ['touch ../executed']\n",
    "NUL bytes": "a: \0\n",
    "bytes that are no text": b"\xff\xfe\xfd" * 100,
    "UTF-16": "a: 1".encode("utf-16"),
    "nothing": "",
    "a list": "[]",
    "60,000 packages": "@EXPLICIT\n" + f"https://h/noarch/a-1-0.conda#{HASH}\n" * 60_000,
    "a version that is a list": conda_lock(entry(version=["1"])),
    "a name that is a mapping": conda_lock(entry(name={"a": "b"})),
    "a hash that is a list": conda_lock(entry(hash={"sha256": ["a"]})),
    "no hash at all": conda_lock(entry(hash=None)),
    "a name with dots": conda_lock(entry(name="../../x")),
    "a name with control characters": conda_lock(entry(name="a\x1b[2J")),
    "a name of 1 MB": conda_lock(entry(name="\x9d" * 1_000_000)),
    "a platform with control characters": conda_lock(entry(platform="\x1b]0;t\x07"), platforms=["\x1b]0;t\x07"]),
    "a version of the format with control characters": json.dumps(
        {"version": "\x1b[2J" * 1000, "metadata": {}, "package": []}
    ),
    "a negative size": conda_lock(entry(), custom_metadata={"size/a-1-0.conda": "-5"}),
    "a size of 9,000 digits": conda_lock(entry(), custom_metadata={"size/a-1-0.conda": "9" * 9000}),
    "requested specs that are deep": conda_lock(entry(), custom_metadata={"requested": "[" * 100_000}),
    "requested specs that are a number": conda_lock(entry(), custom_metadata={"requested": "5"}),
    "a URL of 96 kB of schemes": conda_lock(entry(url="x://a:" * 16_000)),
    "a URL that is not valid": conda_lock(entry(url="https://[h/linux-64/a-1-0.conda")),
    "dependencies that are a list": conda_lock(entry(dependencies=["b", "c"])),
    "a pixi.lock of version 9": json.dumps({"version": "9", "environments": {}, "packages": []}),
    "a pixi.lock without environments": json.dumps({"version": "6", "environments": {}, "packages": []}),
    "a pixi.lock whose packages are missing": pixi([], [{"conda": "https://h/linux-64/a-1-0.conda"}]),
}
"""Texts that are refused."""

ACCEPTED: dict[str, str] = {
    "100,000 dependencies of one name": _many_depends(),
    "one package twice, with and without a size": conda_lock(
        entry(), entry(url="https://h/linux-64/a-1-0.tar.bz2"), custom_metadata={"size/a-1-0.conda": "5"}
    ),
    "pip packages with control characters": conda_lock(
        entry(name="p\x1b[2J\x9b31m", manager="pip", version="\x1b]0;t\x07", url="https://h/p")
    ),
}
"""Texts that are read: they must take no time, and print no control characters."""


def _compared(text: str | bytes) -> Callable[[Place], Sequence[Command]]:
    def prepare(place: Place) -> Sequence[Command]:
        path, empty = place.work / "lock.yml", place.work / "empty.txt"
        path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
        empty.write_text("# platform: linux-64\n@EXPLICIT\n")
        return [["diff", path, empty]]

    return prepare


def _built(line: Callable[[Place], str]) -> Callable[[Place], Sequence[Command]]:
    """A build of an explicit file of one line."""

    def prepare(place: Place) -> Sequence[Command]:
        path = place.work / "lock.txt"
        path.write_text(f"# platform: linux-64\n@EXPLICIT\n{line(place)}\n")
        return [["build", "--lockfile", path, "-o", place.out / "image.tar", "--base", base(place)]]

    return prepare


def _linked(place: Place, target: str) -> str:
    """The URL of a package that is a link to a path."""
    folder = place.work / "noarch"
    folder.mkdir(exist_ok=True)
    os.symlink(target, folder / "a-1-0.conda")
    return f"{(folder / 'a-1-0.conda').as_uri()}#{HASH}"


def _pipe(place: Place) -> str:
    (place.work / "noarch").mkdir()
    os.mkfifo(place.work / "noarch/a-1-0.conda")
    return f"{(place.work / 'noarch/a-1-0.conda').as_uri()}#{HASH}"


def _large_file(place: Place) -> Sequence[Command]:
    path = place.out / "lock.yml"  # what lies elsewhere is hashed before and after
    with path.open("wb") as file:
        file.truncate(1 << 40)
    return [["diff", path, path], ["build", "--lockfile", path, "-o", place.out / "x.tar", "--base", base(place)]]


def _folder(place: Place) -> Sequence[Command]:
    return [["build", "--lockfile", place.work, "-o", place.out / "x.tar", "--base", base(place)]]


def _loop(place: Place) -> Sequence[Command]:
    Path(place.work, "loop").symlink_to("loop")
    return [["build", "--lockfile", place.work / "loop", "-o", place.out / "x.tar", "--base", base(place)]]


LINES: dict[str, Callable[[Place], str]] = {
    "a package by FTP": lambda place: f"ftp://127.0.0.1:9/noarch/a-1-0.conda#{HASH}",
    "a package from S3": lambda place: f"s3://bucket/noarch/a-1-0.conda#{HASH}",
    "a package in a data URL": lambda place: f"data:x/noarch/a-1-0.conda#{HASH}",
    "a package without a hash": lambda place: f"{place.work.as_uri()}/noarch/a-1-0.conda",
    "a package that is a user's file": lambda place: _linked(place, str(place.home / "notes.txt")),
    "a package that is a device without an end": lambda place: _linked(place, "/dev/zero"),
    "a package that is a pipe": _pipe,
    "a package with a login in its URL": lambda place: f"http://u:{SECRET}@127.0.0.1:9/noarch/a-1-0.conda#{HASH}",
    "a package at an address of this machine": lambda place: f"http://127.0.0.1:9/noarch/a-1-0.conda#{HASH}",
    "a path that leads up": lambda place: f"file:///a/../../noarch/..%2f..%2fa-1-0.conda#{HASH}",
    "a hash of other letters": lambda place: "https://h/noarch/a-1-0.conda#" + "z" * 64,
}

CASES = [
    *(Case("lockfile", name, _compared(text), refused=True) for name, text in TEXTS.items()),
    *(Case("lockfile", name, _compared(text)) for name, text in ACCEPTED.items()),
    *(Case("lockfile", name, _built(line), refused=True) for name, line in LINES.items()),
    Case("lockfile", "a file of 1 TB", _large_file, refused=True),
    Case("lockfile", "a folder", _folder, refused=True),
    Case("lockfile", "a link to itself", _loop, refused=True),
]
