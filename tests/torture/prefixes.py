"""Hostile environments: records, links and special files that lead out of the prefix, in folders that a user builds."""

from __future__ import annotations

import functools
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.parts.small_prefix import SITE, SmallPrefix
from tests.torture.case import Case, Command, Place
from tests.torture.inputs import build_prefix

Change = Callable[[Place, SmallPrefix], None]

NOWHERE = "file:///nonexistent"


def _above(place: Place, name: str) -> str:
    return "../" * 12 + str(place.home / name).lstrip("/")


def _add(prefix: SmallPrefix, **fields: Any) -> None:
    """A package that no channel has, so that a build copies its files from the environment."""
    name = fields.pop("name", "evil")
    url = f"{NOWHERE}/linux-64/{name}-1.0-0.conda"
    prefix.add(name, **{"url": url, "channel": NOWHERE, **fields})


def _record(**fields: Any) -> Change:
    return lambda place, prefix: _add(prefix, **fields)


def _listed(path: Callable[[Place], str]) -> Change:
    """A record that lists a path."""

    def change(place: Place, prefix: SmallPrefix) -> None:
        entry = {"_path": path(place), "path_type": "hardlink", "sha256": "a" * 64, "size_in_bytes": 1}
        _add(prefix, files=None, paths_data={"paths_version": 1, "paths": [entry]})

    return change


def _below_a_link(target: Callable[[Place], str], *, listed: bool) -> Change:
    """A link to a folder of the user, and a path below it that a package or pip lists."""

    def change(place: Place, prefix: SmallPrefix) -> None:
        (prefix.path / "share").mkdir(exist_ok=True)
        (prefix.path / "share/d").symlink_to(target(place))
        if listed:
            entry = {"_path": "share/d/config.json", "path_type": "hardlink", "sha256": "a" * 64, "size_in_bytes": 1}
            _add(prefix, paths_data={"paths_version": 1, "paths": [entry]})

    return change


def _pip_record(name: Callable[[Place], str]) -> Change:
    """A RECORD of pip with a line for a path."""

    def change(place: Place, prefix: SmallPrefix) -> None:
        info = prefix.pip("evil", files={f"{SITE}/evil.py": b""})
        with (info / "RECORD").open("a") as file:
            file.write(f"{name(place)},,\n")

    return change


def _pip_below_a_link(place: Place, prefix: SmallPrefix) -> None:
    _pip_record(lambda place: "linked/config.json")(place, prefix)
    (prefix.path / SITE / "linked").symlink_to(place.home / ".docker")


def _linked(path: str, target: str = "notes.txt") -> Change:
    """A link to a file of the user, in the place of a file that a build reads."""

    def change(place: Place, prefix: SmallPrefix) -> None:
        link = prefix.path / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(place.home / target)

    return change


def _fifo(path: str) -> Change:
    """A pipe that nobody writes into."""

    def change(place: Place, prefix: SmallPrefix) -> None:
        pipe = prefix.path / path
        pipe.parent.mkdir(parents=True, exist_ok=True)
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)

    return change


def _in_place_of_a_listed_file(make: Change) -> Change:
    def change(place: Place, prefix: SmallPrefix) -> None:
        _add(prefix, files={"share/evil": b"honest"})
        make(place, prefix)

    return change


def _pip_in_place_of(name: str, make: Callable[[str], Change]) -> Change:
    def change(place: Place, prefix: SmallPrefix) -> None:
        info = prefix.pip("evil", files={f"{SITE}/evil.py": b""})
        make(str((info / name).relative_to(prefix.path)))(place, prefix)

    return change


def _socket(place: Place, prefix: SmallPrefix) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(prefix.path, os.O_PATH)
        made.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)


def _text(text: bytes) -> Change:
    def change(place: Place, prefix: SmallPrefix) -> None:
        (prefix.path / "conda-meta/evil-1.0-0.json").write_bytes(text)

    return change


def _loop(place: Place, prefix: SmallPrefix) -> None:
    (prefix.path / "share").mkdir(exist_ok=True)
    (prefix.path / "share/loop").symlink_to("../share")
    (prefix.path / "share/self").symlink_to("self")
    (prefix.path / "share/up").symlink_to(prefix.path)


def _editable_record(place: Place, prefix: SmallPrefix) -> None:
    """Python's own metadata with escapes of a terminal."""
    info = prefix.pip("evil")
    (info / "METADATA").write_text("Name: \x1b]0;evil\x07\nVersion: ../../1\n")


CHANGES: dict[str, tuple[Change, bool]] = {
    "a record with a path above": (_listed(lambda place: _above(place, "notes.txt")), True),
    "a record with an absolute path": (_listed(lambda place: str(place.home / "notes.txt")), True),
    "a record with a NUL": (_listed(lambda _: "a\0b"), True),
    "a record with a file of 1 MB": (_listed(lambda _: "n" * (1 << 20)), True),
    "a path below a link to the user's login": (_below_a_link(lambda p: str(p.home / ".docker"), listed=True), True),
    "the same with a relative link": (_below_a_link(lambda place: _above(place, ".docker"), listed=True), True),
    "a link to the user's login": (_below_a_link(lambda place: str(place.home / ".docker"), listed=False), False),
    "pip's RECORD with a path above": (_pip_record(lambda place: _above(place, "notes.txt")), False),
    "pip's RECORD with an absolute path": (_pip_record(lambda place: str(place.home / "notes.txt")), False),
    "pip's RECORD with a path below a link": (_pip_below_a_link, True),
    "pip's RECORD is a link": (_pip_in_place_of("RECORD", _linked), False),
    "pip's METADATA is a link": (_pip_in_place_of("METADATA", _linked), False),
    "pip's METADATA is a pipe": (_pip_in_place_of("METADATA", _fifo), False),
    "pip's METADATA has escapes": (_editable_record, False),
    "site-packages above": (_record(name="python", version="3.11.8", python_site_packages_path="../../home"), True),
    "an absolute site-packages": (_record(name="python", version="3.11.8", python_site_packages_path="/etc"), True),
    "a record named above": (_record(name="evil", fn="../../evil.conda"), True),
    "a subdir above": (_record(subdir="../.."), True),
    "a hash that is none": (_record(sha256="../../x"), True),
    "a record that is nested": (_text(b"[" * 1_000_000), True),
    "a record with nested paths": (_text(b'{"paths_data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), True),
    "a record that is empty": (_text(b""), True),
    "a record that is a pipe": (_fifo("conda-meta/evil-1.0-0.json"), True),
    "a record that is a link to a device": (
        lambda place, prefix: (prefix.path / "conda-meta/evil-1.0-0.json").symlink_to("/dev/zero"),
        True,
    ),
    "conda-meta/history is a pipe": (_fifo("conda-meta/history"), False),
    "conda-meta/pinned is a pipe": (_fifo("conda-meta/pinned"), False),
    "conda-meta/pinned is a link to the user's file": (_linked("conda-meta/pinned"), False),
    "conda-meta/frozen is a link to the user's file": (_linked("conda-meta/frozen"), False),
    "conda-meta/state is a link to the user's login": (_linked("conda-meta/state", ".docker/config.json"), False),
    "pip.conf is a pipe": (_fifo("pip.conf"), False),
    "a module's bytecode is a pipe": (_fifo(f"{SITE}/__pycache__/x.cpython-311.pyc"), False),
    "bytecode beside a module is a pipe": (_fifo(f"{SITE}/x.pyc"), False),
    "a socket": (_socket, False),
    "a listed file is a pipe": (_in_place_of_a_listed_file(_fifo("share/evil")), False),
    "a listed file is a link to the user's file": (_in_place_of_a_listed_file(_linked("share/evil")), False),
    "links in a circle": (_loop, False),
}
"""What is hostile about an environment, and whether its build must fail."""


def _prepare(change: Change, place: Place) -> Sequence[Command]:
    prefix = SmallPrefix(place.work / "envs/evil")
    prefix.add("python", "3.11.7", "h0_cpython", url=f"{NOWHERE}/linux-64/python-3.11.7-h0_cpython.conda")
    change(place, prefix)
    return build_prefix(place, prefix.path, "--no-bytecode")


def _a_folder_with_links(place: Place) -> Sequence[Command]:
    """A project whose links and pipes lead to the user's files."""
    prefix = SmallPrefix(place.work / "envs/honest")
    _add(prefix, name="honest", files={"share/x": b""})
    project = place.work / "project"
    project.mkdir()
    (project / "login").symlink_to(place.home / ".docker")
    (project / "notes.txt").symlink_to(place.home / "notes.txt")
    os.mkfifo(project / "pipe.txt")
    return build_prefix(place, prefix.path, "--include", str(project))


def _an_ignore_file_that_is_a_link(place: Place) -> Sequence[Command]:
    prefix = SmallPrefix(place.work / "envs/honest")
    _add(prefix, name="honest", files={"share/x": b""})
    project = place.work / "project"
    project.mkdir()
    (project / ".dockerignore").symlink_to("/dev/zero")
    return build_prefix(place, prefix.path, "--include", str(project))


def _a_cache_of_others(place: Place) -> Sequence[Command]:
    """A package cache that others can write, with a changed file and a note that says it is right."""
    prefix = SmallPrefix(place.folder / "envs/demo")
    _add(prefix, name="demo", files={"share/x": b"honest"})
    cached = prefix.pkgs / "demo-1.0-0"
    (cached / "share/x").unlink()
    (cached / "share/x").write_bytes(b"forged-by-others")
    record = json.loads((prefix.path / "conda-meta/demo-1.0-0.json").read_text())
    (cached / "info/repodata_record.json").write_text(json.dumps(record))
    (cached / "info/index.json").write_text('{"name": "demo", "version": "1.0", "build": "0", "build_number": 0}')
    (cached / "info/paths.json").write_text(
        '{"paths": [{"_path": "share/x", "path_type": "hardlink"}], "paths_version": 1}'
    )
    prefix.pkgs.rename(place.folder / "pkgs")
    (place.folder / "pkgs").chmod(0o777)
    return build_prefix(place, prefix.path)


def _cases() -> Iterator[Case]:
    for name, (change, refused) in CHANGES.items():
        yield Case("prefix", name, functools.partial(_prepare, change), refused=refused)
    yield Case("prefix", "a project with links", _a_folder_with_links)
    yield Case("prefix", "an ignore file that is a device", _an_ignore_file_that_is_a_link)
    yield Case("prefix", "a package cache of others", _a_cache_of_others, absent=("forged-by-others",))


CASES = list(_cases())
