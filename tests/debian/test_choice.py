"""Only packages that fit those of the base are added to it."""

from __future__ import annotations

import re

import pytest

from jupyter_condabuild.debian.choice import missing
from jupyter_condabuild.debian.installed import Installed
from jupyter_condabuild.debian.packages import PackageIndex
from jupyter_condabuild.debian.relations import Relation, relations
from jupyter_condabuild.errors import DebianPackagesRefused
from tests.debian.test_packages import index, stanza

RELEASE = "PRETTY_NAME='Debian 12'\nID=debian\nVERSION_CODENAME=bookworm\n"


def system(*stanzas: str) -> Installed:
    """Returns a Debian with these packages."""
    return Installed.parse(RELEASE, "\n".join(stanzas), [])


def names(found: PackageIndex, installed: Installed, *wanted: str) -> list[str]:
    return [package.name for package in missing(found, installed, wanted)]


def test_what_the_base_has_is_not_added() -> None:
    """A package of the base counts, and what it provides; a removed one whose settings are left does not."""
    installed = system(
        stanza("libc6", "2.36-9"),
        stanza("mawk", Provides="awk"),
        stanza("gone", Status="deinstall ok config-files"),
    )
    found = index(
        stanza("app", Depends="libc6 (>= 2.30), awk, b (>= 2) | c, gone"),
        stanza("b", "1"),
        stanza("c", Recommends="d"),
        stanza("d"),
        stanza("gone"),
        stanza("libc6", "2.36-10"),
    )
    assert names(found, installed, "app") == ["app", "c", "gone"]
    assert names(found, installed, "libc6") == []


def test_a_version_that_is_named_is_the_one_that_is_taken() -> None:
    """A base that has it already gets nothing."""
    found = index(stanza("app", "1:2.0-1"))
    assert names(found, system(stanza("libc6")), "app=1:2.0-1") == ["app"]
    assert names(found, system(stanza("app", "1:2.0-1")), "app=1:2.0-1") == []


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        ("new", "new needs libc6 (>= 2.37), and the base has libc6 2.36-9."),
        ("nothing", "has no package nothing in bookworm"),
        ("needs-nothing", "has no package nothing, which needs-nothing needs"),
        ("old=1", "The mirror of Debian has old 2, not 1."),
        ("libc6=2.40", "The base has libc6 2.36-9, not libc6=2.40."),
        ("enemy", "enemy does not work with libc6 2.36-9 (libc6 (<< 2.37))"),
        ("hated", "libc6 does not work with hated 1 (hated)"),
        ("rival", "rival does not work with rival-two 1 (virtual)"),
        ("../x", "is not the name of a package"),
    ],
)
def test_a_package_that_does_not_fit_is_refused(named: str, fault: str) -> None:
    """A layer cannot replace a package of the base. The error says what is in the way, and what to do."""
    installed = system(stanza("libc6", "2.36-9", Breaks="hated"))
    found = index(
        stanza("new", Depends="libc6 (>= 2.37)"),
        stanza("needs-nothing", Depends="nothing"),
        stanza("old", "2"),
        stanza("enemy", Conflicts="libc6 (<< 2.37)"),
        stanza("hated"),
        stanza("libc6", "2.40"),
        stanza("rival", Conflicts="virtual", Provides="virtual", Depends="rival-two"),
        stanza("rival-two", Provides="virtual"),
    )
    with pytest.raises(DebianPackagesRefused, match=re.escape(fault)) as refused:
        missing(found, installed, [named])
    assert refused.value.hint


def test_relations_are_those_of_the_policy() -> None:
    """Provided names without a version meet no bound."""
    assert list(relations("a:any (>= 1), b | c (= 2~rc1)")) == [
        (Relation("a", ">=", "1"),),
        (Relation("b"), Relation("c", "=", "2~rc1")),
    ]
    expected = {"<<": (True, False, False), "<=": (True, True, False), "=": (False, True, False)}
    expected |= {">=": (False, True, True), ">>": (False, False, True)}
    for comparison, results in expected.items():
        assert tuple(Relation("a", comparison, "2").accepts(version) for version in ("2~rc1", "2", "10")) == results
    for provides, met in (
        ("v", (True, False)),
        ("v (= 3)", (True, True)),
        ("v (= 1)", (True, False)),
        ("vv", (False, False)),
    ):
        fields = {"Package": "x", "Provides": provides}
        assert (Relation("v").is_met_by(fields), Relation("v", ">=", "2").is_met_by(fields)) == met


@pytest.mark.parametrize(
    ("release", "status", "fault"),
    [
        (
            'ID=ubuntu\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04"\n',
            "",
            "'Ubuntu 24.04', not a release of Debian",
        ),
        ("ID=debian\nVERSION_CODENAME=../x\n", "", "not a release of Debian"),
        ("", "", "a system without a name"),
        (RELEASE, None, "no list of its packages"),
    ],
)
def test_another_system_is_refused(release: str, status: str | None, fault: str) -> None:
    """The hint names a base that can be used."""
    with pytest.raises(DebianPackagesRefused, match=fault) as refused:
        Installed.parse(release, status, [])
    assert "--base debian:bookworm-slim" in refused.value.hint


def test_the_list_of_packages_keeps_its_form() -> None:
    """A status file keeps its other packages; a base of distroless gets a file for each package."""
    status = f"{stanza('libc6')}\n{stanza('a', Status='deinstall ok config-files')}\n"
    (text,) = Installed.parse(RELEASE, status, []).with_packages({"a": "Package: a\nVersion: 2\n"}).values()
    assert text == f"{stanza('libc6')}\nPackage: a\nVersion: 2\n\n"
    files = Installed.parse(RELEASE, None, [stanza("libc6")]).with_packages({"a": "Package: a\n"})
    assert files == {"var/lib/dpkg/status.d/a": "Package: a\n"}
