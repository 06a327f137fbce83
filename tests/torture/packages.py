"""Hostile packages: archives whose members or metadata point outside of the prefix, or are no files."""

from __future__ import annotations

from collections.abc import Sequence

from tests.parts.channel.hostile import link, path_entry
from tests.torture.case import Case, Command, Place
from tests.torture.inputs import build_package


def _a_link_to_the_users_login(place: Place) -> Sequence[Command]:
    members = [link("share/d", str(place.home / ".docker"))]
    paths = [path_entry("share/d", None, "softlink"), path_entry("share/d/config.json", None)]
    return build_package(place, members, paths)


CASES = [
    Case("package", "a link to a folder, and an entry through the link", _a_link_to_the_users_login, refused=True),
]
