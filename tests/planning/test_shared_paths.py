"""Paths of several packages: the image has the same file as py-rattler's installation, and layers stay independent."""

from __future__ import annotations

import json
import marshal
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.planning.layer_plan import plan_layers
from jupyter_condabuild.planning.shared_paths import winners
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.bytecode import SITE_PACKAGES
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata, Symlink
from tests.parts.image_tree import SavedImage

SAME = "share/same.txt"


def package(name: str, *depends: str, size: int = 0, **files: bytes) -> Package:
    """Makes a package with SAME and a file of its own. `size` selects its size class."""
    entries = [File(SAME, f"from {name}\n".encode()), File(f"share/{name}", name.encode() * (1 + size))]
    return Metadata(name, "1.0", noarch="generic", depends=depends), [*entries, *(File(k, v) for k, v in files.items())]


SETS: dict[str, list[Package]] = {
    "by name": [package("a"), package("b")],
    "a depends on b": [package("a", "b"), package("b")],
    "b depends on a": [package("a"), package("b", "a")],
    "a chain in reverse alphabetical order": [package("a", "b"), package("b", "c"), package("c")],
    "three": [package("a"), package("b"), package("c", "a")],
    "diamond": [package("top", "left", "right"), package("left", "base"), package("right", "base"), package("base")],
}


def content(image: SavedImage, path: str) -> bytes:
    return image.read(f"opt/env/{path}")


@pytest.mark.parametrize("packages", SETS.values(), ids=SETS)
@pytest.mark.parametrize("budget", [96, 1])
def test_the_winner_is_the_same_as_for_py_rattler(
    workshop: Workshop, tmp_path: Path, packages: Sequence[Package], budget: int
) -> None:
    """The winner is the same for any dependencies, with own layers and with a common layer."""
    channel = small_channel(tmp_path / "channel", packages)
    prefix = install(tmp_path / "env", channel, *(metadata.name for metadata, _ in packages))
    image = workshop.image(prefix, layer_budget=budget)
    assert content(image, SAME) == (prefix / SAME).read_bytes()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Channel, Path]:
    """Two packages for which the order of the layers would show the wrong file."""
    channel = small_channel(tmp_path / "channel", [package("a", "b"), package("b")])
    return channel, install(tmp_path / "env", channel, "a")


def test_each_layer_keeps_the_files_of_its_package(workshop: Workshop, pair: tuple[Channel, Path]) -> None:
    """The layer is the same as without the other package."""
    both = workshop.image(pair[1])
    alone = workshop.image(install(pair[1].parent / "alone", pair[0], "b"), "alone")
    assert both.package_layers["b-1.0-0"] == alone.package_layers["b-1.0-0"]


def test_the_path_is_in_the_records_of_all_packages(workshop: Workshop, pair: tuple[Channel, Path]) -> None:
    """conda's records are the same."""
    image = workshop.image(pair[1])
    for name in ("a", "b"):
        assert SAME in json.loads(content(image, f"conda-meta/{name}-1.0-0.json"))["files"]


def test_an_unavailable_package_removes_only_its_own_paths(workshop: Workshop, tmp_path: Path) -> None:
    """The upper layer still has the files of the other packages.

    The files of the missing package come from the environment.
    """
    second = "share/second.txt"
    packages = [
        package("a", "b"),
        package("b"),
        package("c", "d", **{second: b"from c\n"}),
        package("d", **{second: b"from d\n"}),
    ]
    packages[2:] = [(metadata, entries[1:]) for metadata, entries in packages[2:]]  # without SAME
    channel = small_channel(tmp_path / "channel", packages)
    prefix = install(tmp_path / "env", channel, "a", "c")
    shutil.rmtree(tmp_path / "pkgs" / "c-1.0-0")
    (channel.folder / "noarch/c-1.0-0.conda").unlink()
    image = workshop.image(prefix)
    assert "taken-from-prefix" in workshop.warnings
    assert content(image, SAME) == b"from a\n"
    assert content(image, second) == b"from c\n"


def test_the_upper_layer_has_only_these_paths(workshop: Workshop, pair: tuple[Channel, Path]) -> None:
    """The layer is small, and has a key."""
    image = workshop.image(pair[1])
    layer = image.manifest["layers"][-1]
    assert {header.path for header in image.headers(layer["digest"]) if header.type == b"0"} == {f"opt/env/{SAME}"}
    assert layer["annotations"]["org.jupyter.condabuild.layer.packages"] == "a-1.0-0"
    assert len(layer["annotations"]["org.jupyter.condabuild.layer.key"]) == 64


def test_without_a_prefix_the_result_is_the_same(
    workshop: Workshop, pair: tuple[Channel, Path], tmp_path: Path
) -> None:
    """A lock file has the dependencies, and the channel has the paths of the packages."""
    (tmp_path / "conda-lock.yml").write_text(dump(lock(snapshot(pair[1]))))
    from_prefix, from_lock = workshop.image(pair[1]), workshop.image(tmp_path / "conda-lock.yml", "lock")
    assert from_lock.layers == from_prefix.layers


def test_unknown_contents_are_reported(workshop: Workshop, tmp_path: Path) -> None:
    """The layers exist, but the packages are not available, so that shared paths cannot be found."""
    channel = small_channel(tmp_path / "channel", [package("a"), package("b")])
    locked = tmp_path / "conda-lock.yml"
    locked.write_text(dump(lock(snapshot(install(tmp_path / "env", channel, "a", "b")))))
    shutil.rmtree(tmp_path / "pkgs")
    workshop.image(locked)
    for archive in channel.archives:
        archive.unlink()
    workshop.image(locked, "again")
    assert "a-1.0-0, b-1.0-0" in workshop.warnings["contents-unknown"]


def test_bytecode_belongs_to_its_module(channel: Channel, workshop: Workshop, tmp_path: Path) -> None:
    """If two packages have the same module, the bytecode in the image belongs to the module in the image."""

    def module(name: str, text: bytes, *depends: str) -> Package:
        metadata = Metadata(name, "1.0", noarch="python", depends=("python", *depends))
        return metadata, [File("site-packages/shared.py", text)]

    own = tmp_path / "channel"
    (own / "linux-64").mkdir(parents=True)
    for path in channel.archives:
        if path.parent.name == "linux-64":
            shutil.copy(path, own / "linux-64")
    with_python = small_channel(own, [module("a", b"FROM = 'a'\n", "b"), module("b", b"FROM = 'b'\n")])
    image = workshop.image(install(tmp_path / "env", with_python, "a"))
    (pyc,) = (path for path in image.tree() if "/shared." in path and path.endswith(".pyc"))
    assert content(image, f"{SITE_PACKAGES}/shared.py") == b"FROM = 'a'\n"
    shown, own_layer = marshal.loads(content(image, pyc)[16:]), image.package_layers["a-1.0-0"]
    namespace: dict[str, str] = {}
    exec(shown, namespace)
    assert namespace["FROM"] == "a"
    assert own_layer != image.layers[-1]


def test_a_folder_in_one_package_and_a_link_in_another(workshop: Workshop, tmp_path: Path) -> None:
    """py-rattler makes the folder and moves the link. No file may be hidden behind a link."""
    packages: list[Package] = [
        (Metadata("zlink", "1.0", noarch="generic"), [Symlink("lib64", "lib"), File("lib/z.txt", b"z" * 10)]),
        (Metadata("dir", "1.0", noarch="generic", depends=("zlink",)), [File("lib64/dir.txt", b"dir")]),
    ]
    channel = small_channel(tmp_path / "channel", packages)
    prefix = install(tmp_path / "env", channel, "dir", "zlink")
    for budget in (96, 1):
        tree = workshop.image(prefix, layer_budget=budget).tree()
        assert tree["lib64"].kind == "directory"
        assert tree["lib64/dir.txt"].kind == "file"


def test_the_time_to_find_winners_is_linear_in_the_paths() -> None:
    """The time does not grow with the square of the number of paths, which would be a factor of 64 here."""
    packages = {
        name: CondaPackage.of_url(f"https://lab.org/noarch/{name}-1-0.conda", sha256="0" * 64, size=1) for name in "ab"
    }
    planned = plan_layers(of_packages("linux-64", list(packages.values()), ()), budget=96)
    by_dist = {package.dist: package for package in packages.values()}

    def seconds(count: int) -> float:
        paths = {dist: [str(number) for number in range(count)] for dist in by_dist}
        started = time.process_time()
        winners(paths, planned, by_dist)
        return time.process_time() - started

    assert min(seconds(8000) for _ in range(3)) < 25 * min(seconds(1000) for _ in range(5))


def test_only_hidden_winners_get_a_layer() -> None:
    """Most shared paths need no layer, because the order of the layers shows the right file."""
    packages = {
        name: CondaPackage.of_url(f"https://lab.org/noarch/{name}-1-0.conda", sha256="0" * 64, size=1, depends=depends)
        for name, depends in {"a": (), "b": ("a",), "c": ()}.items()
    }
    planned = plan_layers(of_packages("linux-64", list(packages.values()), ()), budget=96)
    by_dist = {package.dist: package for package in packages.values()}
    assert winners({"a-1-0": ["x", "y"], "b-1-0": ["x"], "c-1-0": ["z"]}, planned, by_dist) == {}
    reverse = {"a-1-0": ["x", "y"], "b-1-0": ["x"], "c-1-0": ["y"]}
    by_dist["a-1-0"] = CondaPackage.of_url(
        "https://lab.org/noarch/a-1-0.conda", sha256="0" * 64, size=1, depends=("c",)
    )
    assert {path: package.name for path, package in winners(reverse, planned, by_dist).items()} == {"y": "a"}
