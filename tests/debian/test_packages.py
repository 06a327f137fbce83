"""The packages that a list of names needs are found in indexes."""

from __future__ import annotations

import pytest

from jupyter_condabuild.debian.packages import PackageIndex
from jupyter_condabuild.errors import BaseUnavailable


def stanza(name: str, version: str = "1", **fields: str) -> str:
    lines = {"Package": name, "Version": version, "Filename": f"pool/{name}.deb", "Size": "1", "SHA256": "0" * 64}
    return "".join(f"{key}: {value}\n" for key, value in {**lines, **fields}.items())


def index(*stanzas: str) -> PackageIndex:
    found = PackageIndex()
    found.add("\n".join(stanzas), "https://mirror.org")
    return found


def names(found: PackageIndex, *wanted: str) -> list[str]:
    return [package.name for package in found.closure(wanted)]


def test_everything_that_is_needed_comes_along() -> None:
    """Pre-Depends count, bounds and qualifiers are no part of a name, and circles end."""
    found = index(
        stanza("a", **{"Pre-Depends": "b:any (>= 2)", "Depends": "c (= 1) | d"}),
        stanza("b", Depends="a"),
        stanza("c"),
        stanza("d"),
    )
    assert names(found, "a") == ["a", "b", "c"]


def test_a_virtual_package_is_the_most_important_that_provides_it() -> None:
    """As with awk: mawk is required, and gawk comes first in the alphabet."""
    found = index(
        stanza("a", Depends="awk"),
        stanza("gawk", Provides="awk", Priority="optional"),
        stanza("mawk", Provides="awk (= 1)", Priority="required"),
    )
    assert names(found, "a") == ["a", "mawk"]
    assert names(found, "gawk", "a") == ["a", "gawk"]


def test_the_newest_version_of_all_indexes_is_taken() -> None:
    """So a security update replaces the package of the release, in whatever order they come."""
    for order in ((0, 1), (1, 0)):
        found = PackageIndex()
        for number in order:
            found.add(stanza("a", ("1-1", "1-1+deb12u1")[number]), f"https://{number}.org")
        (package,) = found.closure(["a"])
        assert (package.version, package.origin) == ("1-1+deb12u1", "https://1.org")


def test_a_package_that_is_missing_is_named() -> None:
    """With the package that needs it."""
    with pytest.raises(BaseUnavailable, match="no package b or c, which a needs"):
        index(stanza("a", Depends="b | c")).closure(["a"])


@pytest.mark.parametrize(
    "fields",
    [
        {"Filename": "../../etc/passwd"},
        {"Filename": "pool/a b"},
        {"SHA256": "0"},
        {"Size": "-1"},
        {"Version": "1 2"},
        {"Filename": ""},
    ],
)
def test_a_package_with_a_field_that_is_not_valid_is_refused(fields: dict[str, str]) -> None:
    """Fields become parts of URLs and paths."""
    with pytest.raises(BaseUnavailable, match="an entry that is not valid"):
        index(stanza("a", **fields)).closure(["a"])
