"""Paths that several packages bring: the image shows what the environment shows, or what conda leaves there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.linking.clobbers import clobbers, link_order
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotReproducible
from tests.parts.builds import Package, Workshop, explicit, install, of_public, published, small_channel
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import Entry, File, Metadata, Symlink
from tests.parts.image_tree import tree_of
from tests.parts.jobs import verified

Installer = Literal["conda", "rattler"]


def package(name: str, *entries: Entry, depends: tuple[str, ...] = ()) -> Package:
    return Metadata(name, "1.0", noarch="generic", depends=depends), [*entries, File(f"share/{name}", b"own")]


def made(folder: Path, channel: Channel, installer: Installer, *specs: str) -> Path:
    """Makes a prefix of these packages, as an installer makes it."""
    if installer == "rattler":
        return install(folder, channel, *specs)
    return prefixes.conda_made(folder, folder.parent / "conda-pkgs", specs, channel.url)


def shown(tree: dict[str, object]) -> dict[str, object]:
    """Returns the packages' paths in a tree."""
    return {path: node for path, node in tree.items() if path.startswith(("share/", "lib", "lib64"))}


CONFLICTS: dict[str, list[Package]] = {
    "two files": [package("a", File("share/x", b"a")), package("b", File("share/x", b"of b"))],
    "a file, then a folder": [package("a", File("share/x", b"a")), package("b", File("share/x/y", b"b"))],
    "a folder, then a file": [package("b", File("share/x", b"b")), package("a", File("share/x/y", b"a"))],
    "a folder of folders, then a file": [
        package("b", File("share/x", b"b")),
        package("a", File("share/x/y/z", b"a"), File("share/x/y2", b"a")),
    ],
    "a link, then a file": [package("a", Symlink("share/x", "a")), package("b", File("share/x", b"b"))],
    "two links": [package("a", Symlink("share/x", "a")), package("b", Symlink("share/x", "b"))],
    "the other order of names": [
        package("a", File("share/x", b"a"), depends=("b",)),
        package("b", File("share/x/y", b"b")),
    ],
}


FOR_RATTLER = ("two files", "a link, then a file", "two links")
"""rattler links packages at the same time, and often fails at a file in one package and a folder in another."""


@pytest.mark.parametrize("budget", [96, 1])
@pytest.mark.parametrize(
    ("installer", "conflict"),
    [*(("conda", name) for name in CONFLICTS), *(("rattler", name) for name in FOR_RATTLER)],
)
def test_the_image_shows_what_the_environment_shows(
    workshop: Workshop, tmp_path: Path, conflict: str, installer: Installer, budget: int
) -> None:
    """The installers keep different files, and each layer has all files of its packages."""
    channel = small_channel(tmp_path / "channel", CONFLICTS[conflict])
    prefix = made(tmp_path / "env", channel, installer, "a", "b")
    image = workshop.image(prefix, layer_budget=budget)
    assert shown(image.tree()) == shown(tree_of(prefix))
    said = workshop.warnings.get("clobbered-files", "") + workshop.warnings.get("shared-paths", "")
    assert "share/x (a-1.0-0" in said or "share/x/y" in said
    assert not workshop.warnings.keys() & {"modified-files", "missing-files", "untracked-files"}


@pytest.mark.parametrize("packages", CONFLICTS.values(), ids=CONFLICTS)
def test_a_lock_file_gives_what_conda_leaves(
    workshop: Workshop, tmp_path: Path, packages: list[Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that conda made at once does not differ from its lock file. Strict builds of both succeed."""
    channel = small_channel(tmp_path / "channel", packages)
    prefix = published(made(tmp_path / "env", channel, "conda", "a", "b"))
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "cache"))
    locked = tmp_path / "conda-lock.yml"
    locked.write_text(dump(lock(snapshot(prefix))))
    of_public(locked, channel, tmp_path / "cache")
    from_lock, from_prefix = workshop.image(locked, "lock", strict=True), workshop.image(prefix, strict=True)
    assert shown(from_lock.tree()) == shown(tree_of(prefix))
    assert from_lock.layers == from_prefix.layers


def test_an_explicit_file_gives_the_same_image(workshop: Workshop, tmp_path: Path) -> None:
    """It does not contain the dependencies, which decide the order. The packages contain them."""
    channel = small_channel(
        tmp_path / "channel",
        [package("a", File("share/x", b"of a"), depends=("b",)), package("b", File("share/x", b"b"))],
    )
    prefix = made(tmp_path / "env", channel, "conda", "a")
    image = workshop.image(explicit(channel, tmp_path / "explicit.txt"), "explicit")
    assert image.read("opt/env/share/x") == (prefix / "share/x").read_bytes() == b"of a"
    assert verified(image.archive, tmp_path / "verifying").differs == ()


@pytest.fixture
def reinstalled(tmp_path: Path) -> Path:
    """A prefix of conda in which the first package was installed again: its file is now there."""
    channel = small_channel(tmp_path / "channel", CONFLICTS["two files"])
    prefix = made(tmp_path / "env", channel, "conda", "a", "b")
    (prefix / "share/x").unlink()
    os.link(tmp_path / "conda-pkgs/a-1.0-0/share/x", prefix / "share/x")
    return prefix


def test_the_package_that_was_installed_last_wins(workshop: Workshop, reinstalled: Path) -> None:
    """The report names the path and the packages, and a strict build ends: a lock file does not have this order."""
    image = workshop.image(reinstalled)
    assert image.read("opt/env/share/x") == b"a"
    assert "share/x (a-1.0-0, b-1.0-0)" in workshop.warnings["clobbered-files"]
    again = workshop.image(reinstalled, "again")
    assert again.layers == image.layers
    with pytest.raises(NotReproducible, match="share/x"):
        workshop.image(reinstalled, "strict", strict=True)


def test_a_replaced_file_is_found_each_time(reinstalled: Path) -> None:
    """No package counts as unchanged, although its own file is there."""
    environment = snapshot(reinstalled)
    first = drift(environment)
    again = drift(environment, verified=first.verified)
    assert [item.path for item in again.replaced] == [item.path for item in first.replaced] == ["share/x"]
    assert first


def test_a_changed_or_removed_file_of_two_packages_is_drift(reinstalled: Path) -> None:
    """It is the file of no package."""
    (reinstalled / "share/x").unlink()
    (reinstalled / "share/x").write_bytes(b"changed")
    changes = drift(snapshot(reinstalled))
    assert [entry.path for entry in changes.modified] == ["share/x"]
    (reinstalled / "share/x").unlink()
    changes = drift(snapshot(reinstalled))
    assert ([entry.path for entry in changes.missing], changes.replaced) == (["share/x"], ())


def test_files_behind_a_link_that_conda_keeps_are_in_the_image(workshop: Workshop, tmp_path: Path) -> None:
    """conda writes a file through a link to a folder. py-rattler makes the folder instead."""
    channel = small_channel(
        tmp_path / "channel",
        [
            package("a", Symlink("lib64", "lib"), File("lib/a.txt", b"a")),
            package("b", File("lib64/b.txt", b"b"), depends=("a",)),
        ],
    )
    prefix = made(tmp_path / "env", channel, "conda", "b")
    assert (prefix / "lib64").is_symlink()
    assert shown(workshop.image(prefix).tree()) == shown(tree_of(prefix))


def test_equal_files_of_two_packages_are_not_reported(workshop: Workshop, tmp_path: Path) -> None:
    """Many packages bring the same licence or the same empty module."""
    same = File("share/x", b"same")
    channel = small_channel(tmp_path / "channel", [package("a", same), package("b", same)])
    workshop.image(published(made(tmp_path / "env", channel, "conda", "a", "b")), strict=True)
    assert not workshop.warnings.keys() & {"shared-paths", "clobbered-files"}


def packages_of(**depends: tuple[str, ...]) -> list[CondaPackage]:
    return [
        CondaPackage.of_url(f"https://lab.org/noarch/{name}-1-0.conda", sha256="0" * 64, depends=needed)
        for name, needed in depends.items()
    ]


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ({"c": (), "a": (), "b": ()}, "a b c"),
        ({"a": ("z >=1",), "z": (), "m": ()}, "m z a"),
        ({"a": ("c",), "b": (), "c": ("b",), "d": ("b",)}, "b c d a"),
        ({"a": ("b",), "b": ("a",), "c": ("a",)}, "a b c"),
        ({"python": ("pip",), "pip": ("python",)}, "python pip"),
        ({"python": (), "app": ("python",), "menuinst": ("python",)}, "python menuinst app"),
    ],
)
def test_the_order_is_that_of_conda(packages: dict[str, tuple[str, ...]], expected: str) -> None:
    """Packages without connections come first, then each group that needs only earlier packages, by name."""
    assert " ".join(dist.partition("-")[0] for dist in link_order(packages_of(**packages))) == expected


def test_bytecode_of_a_shared_module_is_no_conflict_of_its_own() -> None:
    """The image has the bytecode of the module that it shows."""
    module, pyc = "lib/m.py", "lib/__pycache__/m.cpython-311.pyc"
    assert list(clobbers({"a": [module, pyc], "b": [module, pyc]}).owners) == [module]
