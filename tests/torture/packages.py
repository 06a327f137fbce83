"""Hostile packages: archives of honest members, whose metadata points outside of the prefix or is no metadata."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.parts.channel import hostile
from tests.parts.channel.hostile import Member, file, link, path_entry
from tests.torture.case import Case, Command, Place
from tests.torture.inputs import build_archives, build_lockfile, build_package, verify_archives

LINK = "softlink"


def _a_link_to_the_users_login(place: Place) -> Sequence[Command]:
    return build_package(place, *_through_a_link(place))


def _the_same_when_verified(place: Place) -> Sequence[Command]:
    members, paths = _through_a_link(place)
    return verify_archives(place, hostile.conda(place.work, members, hostile.info(paths)))


def _through_a_link(place: Place) -> tuple[list[Member], list[dict[str, Any]]]:
    members = [link("share/d", str(place.home / ".docker"))]
    return members, [path_entry("share/d", None, LINK), path_entry("share/d/config.json", None)]


def _under_a_false_name(place: Place) -> Sequence[Command]:
    """An SBOM of the image would name the package of the lock file."""
    return build_package(place, [], [], index={"name": "numpy"})


def _above(place: Place) -> str:
    """A path that leads from wherever a package is linked to the user's login."""
    return "../" * 12 + str(place.home / ".docker/config.json").lstrip("/")


def _an_entry_above(place: Place) -> Sequence[Command]:
    return build_package(place, [], [path_entry(_above(place), None)])


def _an_entry_above_when_verified(place: Place) -> Sequence[Command]:
    return verify_archives(place, hostile.conda(place.work, [], hostile.info([path_entry(_above(place), None)])))


def _an_entry_above_with_a_hash(place: Place) -> Sequence[Command]:
    return build_package(place, [], [path_entry(_above(place), (place.home / ".docker/config.json").read_bytes())])


def _an_entry_above_with_a_prefix(place: Place) -> Sequence[Command]:
    return build_package(place, [], [path_entry(_above(place), b"", prefix_placeholder="/old", file_mode="text")])


def _an_absolute_entry(place: Place) -> Sequence[Command]:
    return build_package(place, [], [path_entry(str(place.home / "notes.txt"), None)])


def _a_file_that_is_a_link(place: Place) -> Sequence[Command]:
    members = [link("etc/x", str(place.home / "notes.txt"))]
    return build_package(place, members, [path_entry("etc/x", None, prefix_placeholder="/old", file_mode="text")])


def _a_plain_file_that_is_a_link(place: Place) -> Sequence[Command]:
    content = (place.home / "notes.txt").read_bytes()
    return build_package(place, [link("etc/x", str(place.home / "notes.txt"))], [path_entry("etc/x", content)])


def _a_folder_that_is_a_link(place: Place) -> Sequence[Command]:
    return build_package(place, [link("etc/x", str(place.home))], [path_entry("etc/x", None, "directory")])


def _a_relative_link_above(place: Place) -> Sequence[Command]:
    return build_package(place, [link("etc/x", _above(place))], [path_entry("etc/x", None, LINK)])


def _metadata_that_is_a_link(name: str) -> Callable[[Place], Sequence[Command]]:
    def prepare(place: Place) -> Sequence[Command]:
        infos = [member for member in hostile.info([]) if member[0].name != name]
        (place.home / "metadata.json").write_text('{"name": "evil", "version": "1", "build": "0"}')
        infos.append(link(name, str(place.home / "metadata.json")))
        return build_archives(place, hostile.conda(place.work, [], infos))

    return prepare


def _two_packages(
    one: Sequence[Any], two: Sequence[Any], place: Place, *, noarch: str = "generic"
) -> Sequence[Command]:
    made = [
        hostile.conda(place.work, members, hostile.info(paths, name, {"noarch": noarch}), name)
        for name, (members, paths) in (("one", one), ("two", two))
    ]
    return build_archives(place, *made)


def _a_link_of_another_package(place: Place) -> Sequence[Command]:
    one = ([link("share/d", str(place.home))], [path_entry("share/d", None, LINK)])
    two = ([file("share/d/notes.txt", b"changed")], [path_entry("share/d/notes.txt", None)])
    return _two_packages(one, two, place)


def _a_link_in_the_place_of_another_packages_file(place: Place) -> Sequence[Command]:
    one = ([link("bin/x", str(place.home / "notes.txt"))], [path_entry("bin/x", None, LINK)])
    rewritten = path_entry("bin/x", b"/old", prefix_placeholder="/old", file_mode="text")
    return _two_packages(one, ([file("bin/x", b"/old")], [rewritten]), place)


def _a_link_in_the_place_of(name: str) -> Callable[[Place], Sequence[Command]]:
    def prepare(place: Place) -> Sequence[Command]:
        return build_package(place, [link(name, str(place.home))], [path_entry(name, None, LINK)])

    return prepare


def _a_record_of_another_package(place: Place) -> Sequence[Command]:
    paths = {"paths_data": {"paths": [{"_path": _above(place), "path_type": "hardlink"}]}}
    record = json.dumps({"name": "two", "version": "1", "build": "0", **paths}).encode()
    one = ([file("conda-meta/two-1-0.json", record)], [path_entry("conda-meta/two-1-0.json", None)])
    return _two_packages(one, ([file("share/x")], [path_entry("share/x", None)]), place)


def _entry_point(name: str) -> Callable[[Place], Sequence[Command]]:
    def prepare(place: Place) -> Sequence[Command]:
        points = json.dumps({"noarch": {"type": "python", "entry_points": [f"{name} = x:main"]}})
        points = points.replace("HOME", str(place.home).lstrip("/"))
        return _with_python(place, [], [], more={"info/link.json": points.encode()})

    return prepare


def _with_python(
    place: Place,
    members: Sequence[Member],
    paths: object,
    more: Mapping[str, bytes] | None = None,
    python: tuple[Sequence[Member], object] = ((), ()),
) -> Sequence[Command]:
    """A build of a noarch Python package, and of a Python without files or with hostile ones."""
    index = {"noarch": "python", "depends": ["python"]}
    evil = hostile.conda(place.work, members, hostile.info(paths, "evil", index, more))
    index = {"version": "3.12.1", "noarch": None, "subdir": "linux-64"}
    folder = place.work / "linux-64"
    folder.mkdir()
    made = hostile.conda(folder, python[0], hostile.info(python[1], "python", index), "python")
    made = made.rename(folder / "python-3.12.1-0.conda")
    noarch = place.work / "noarch"
    noarch.mkdir()
    evil = evil.rename(noarch / "evil-1-py_0.conda")
    return [build_lockfile(place, hostile.explicit(made, evil), "--no-bytecode")]


def _site_packages_that_is_a_link(place: Place) -> Sequence[Command]:
    site = "lib/python3.12/site-packages"
    members = [file("site-packages/notes.txt", b"changed")]
    return _with_python(
        place,
        members,
        [path_entry("site-packages/notes.txt", None)],
        python=([link(site, str(place.home))], [path_entry(site, None, LINK)]),
    )


def _a_command_that_is_a_link(place: Place) -> Sequence[Command]:
    points = {"noarch": {"type": "python", "entry_points": ["run = x:main"]}}
    members = [link("python-scripts/run", str(place.home / "notes.txt"))]
    paths = [path_entry("python-scripts/run", None, LINK)]
    return _with_python(place, members, paths, {"info/link.json": json.dumps(points).encode()})


def _files_of_old_packages(place: Place) -> Sequence[Command]:
    infos = [member for member in hostile.info([]) if member[0].name != "info/paths.json"]
    infos += [file("info/files", f"share/d/config.json\n{_above(place)}\n".encode())]
    infos += [file("info/has_prefix", f"/old text {_above(place)}\n".encode())]
    return build_archives(place, hostile.tar_bz2(place.work, [], infos))


def _a_post_link_script(place: Place) -> Sequence[Command]:
    script = f"#!/bin/sh\ntouch {place.executed}\n".encode()
    names = ["bin/.evil-post-link.sh", "bin/.evil-pre-link.sh", "Scripts/.evil-post-link.sh"]
    members = [file(name, script, 0o755) for name in names]
    return build_package(place, members, [path_entry(name, script) for name in names])


def _a_menu(place: Place) -> Sequence[Command]:
    item = {"name": "x", "description": "x", "command": ["touch", str(place.executed)], "activate": False}
    item["platforms"] = {"linux": {"MimeType": ["text/x"]}}
    menu = json.dumps({"$schema": "https://json.schemastore.org/menuinst.json", "menu_name": "x", "menu_items": [item]})
    paths = [path_entry("Menu/evil.json", menu.encode(), prefix_placeholder="/old", file_mode="text")]
    return build_package(place, [file("Menu/evil.json", menu.encode())], paths)


def _paths(value: object, place: Place) -> Sequence[Command]:
    return build_package(place, [], value)


def _text(name: str, text: bytes, place: Place) -> Sequence[Command]:
    infos = [member for member in hostile.info([]) if member[0].name != name]
    return build_archives(place, hostile.conda(place.work, [], [*infos, file(name, text)]))


def _cases() -> Iterator[Case]:
    refused = {
        "a link to a folder, and an entry through the link": _a_link_to_the_users_login,
        "the same, when an image is verified": _the_same_when_verified,
        "a false name": _under_a_false_name,
        "an entry above": _an_entry_above,
        "an entry above, when an image is verified": _an_entry_above_when_verified,
        "an entry above, with its hash": _an_entry_above_with_a_hash,
        "an entry above, with a prefix": _an_entry_above_with_a_prefix,
        "an absolute entry": _an_absolute_entry,
        "a file with a prefix that is a link": _a_file_that_is_a_link,
        "a plain file that is a link": _a_plain_file_that_is_a_link,
        "a folder that is a link": _a_folder_that_is_a_link,
        "a relative link above": _a_relative_link_above,
        "conda-meta is a link": _a_link_in_the_place_of("conda-meta"),
        "conda-meta/history is a link": _a_link_in_the_place_of("conda-meta/history"),
        "bin is a link": _a_link_in_the_place_of("bin"),
        "a record of another package": _a_record_of_another_package,
        "an entry point above": _entry_point("../../../../../../../../../../HOME/x"),
        "an absolute entry point": _entry_point("/HOME/x"),
        "an entry point of dots": _entry_point(".."),
        "site-packages is a link of Python": _site_packages_that_is_a_link,
        "a command that is a link": _a_command_that_is_a_link,
        "info/files names a path above": _files_of_old_packages,
    }
    for name, prepare in refused.items():
        yield Case("package", name, prepare, refused=True)
    for name in ("info/index.json", "info/paths.json", "info/link.json", "info/files"):
        yield Case("package", f"{name} is a link", _metadata_that_is_a_link(name), refused=True)
    survived = {
        "a link of another package": _a_link_of_another_package,
        "a link in the place of another package's file": _a_link_in_the_place_of_another_packages_file,
        "scripts of installers": _a_post_link_script,
        "an entry of a menu": _a_menu,
    }
    for name, prepare in survived.items():
        yield Case("package", name, prepare)
    for name, value in PATHS.items():
        yield Case("package", f"paths.json with {name}", functools.partial(_paths, value), refused=True)
    for name, text in TEXTS.items():
        for file_name in ("info/paths.json", "info/index.json"):
            yield Case("package", f"{file_name} is {name}", functools.partial(_text, file_name, text), refused=True)


PATHS: dict[str, object] = {
    "a path that is a number": [{"_path": 1, "path_type": "hardlink"}],
    "a path of 1 MB": [path_entry("n" * (1 << 20), b"")],
    "a path of dots": [path_entry("a/./b", b"")],
    "an empty path": [path_entry("", b"")],
    "a surrogate": b'{"paths": [{"_path": "\\ud800", "path_type": "hardlink"}], "paths_version": 1}',
    "a NUL": [path_entry("a\0b", b"")],
    "backslashes": [path_entry("a\\..\\..\\b", b"")],
    "escapes of a terminal": [path_entry("\x1b]0;x\x07/../x\n", None)],
    "entries that are texts": ["share/x"],
    "an object of paths": {"share/x": {}},
    "an unknown type": [{"_path": "share/x", "path_type": ["softlink"]}],
    "20,000 paths that are missing": [path_entry(f"{number}", None) for number in range(20_000)],
}
TEXTS: dict[str, bytes] = {
    "nested": b"[" * 1_000_000,
    "large": b'{"paths": [' + b"[]," * 2_000_000 + b"[]]}",
    "no JSON": b"\xff\xfe\0{",
    "empty": b"",
    "a large number": b'{"paths": ' + b"9" * 100_000 + b"}",
}

CASES = list(_cases())
