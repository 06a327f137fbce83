"""A used environment is copied completely to the image: pip, editable installs, edits and deleted files."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import posixpath
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.errors import NotReproducible, OverlayTooLarge
from jupyter_condabuild.planning.inputs import IRREPRODUCIBLE
from tests.parts.builds import Workshop
from tests.parts.image_tree import SavedImage, node_at, tree_of
from tests.parts.lived_in import LivedIn


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, small_base: str) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("lived-in-image"), small_base)


@pytest.fixture(scope="module")
def image(place: Workshop, lived_in: LivedIn) -> SavedImage:
    return place.image(lived_in.prefix)


@pytest.fixture(scope="module")
def warnings(place: Workshop, image: SavedImage) -> dict[str, str]:
    """Returns the text of the events."""
    return place.warnings


@pytest.fixture(scope="module")
def overlay(image: SavedImage) -> dict[str, bytes]:
    """Returns the contents of the top layer by path."""
    with image.layer(image.layers[-1]) as layer:
        return {member.name: layer.extractfile(member).read() for member in layer if member.isreg()}  # type: ignore[union-attr]


def test_every_path_is_the_same_as_in_the_live_prefix(image: SavedImage, lived_in: LivedIn) -> None:
    """The same paths exist. Files without a path of the prefix have the same content."""
    here = {p: node for p, node in tree_of(lived_in.prefix).items() if node.kind != "directory" and not _odd(p)}
    there = {p: node for p, node in image.tree().items() if node.kind != "directory" and not _odd(p)}
    assert there.keys() == here.keys()
    prefix = os.fsencode(lived_in.prefix)
    projects = os.fsencode(lived_in.projects)
    for path, node in here.items():
        data = b"" if node.kind == "symlink" else (lived_in.prefix / path).read_bytes()
        adapted = path.endswith("/RECORD") or prefix in data or projects in data or prefix in os.fsencode(node.target)
        assert adapted or there[path] == node, path


def test_the_hashes_of_pip_are_those_of_the_files(overlay: dict[str, bytes], image: SavedImage) -> None:
    """The scripts and path files in RECORD have the hashes of the image's files."""
    checked = 0
    for path in (path for path in overlay if path.endswith("/RECORD")):
        site = path.rpartition("/")[0].rpartition("/")[0]
        for name, digest, size in csv.reader(overlay[path].decode().splitlines()):
            if digest:
                data = image.read(posixpath.normpath(f"{site}/{name}"))
                encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                assert (digest, size) == (f"sha256={encoded}", str(len(data))), name
                checked += 1
    assert checked > 10


def _odd(path: str) -> bool:
    """Returns whether a path is bytecode or a file of conda itself. Other tests check these."""
    return path.endswith(".pyc") or path.startswith(("conda-meta/", "CACHEDIR.TAG", "__clobbers__"))


def test_no_path_of_this_machine_is_in_the_overlay(overlay: dict[str, bytes], lived_in: LivedIn) -> None:
    """Neither the path of the prefix nor the path of a project is there."""
    folder = os.fsencode(lived_in.prefix.parent.parent)
    assert [path for path, data in overlay.items() if folder in data] == []


def test_layers_of_packages_do_not_change(image: SavedImage, rattler_image: SavedImage) -> None:
    """No layer of a package contains a change of the user."""
    shared = image.package_layers.keys() & rattler_image.package_layers.keys()
    assert {"python-" in name for name in shared} == {True, False}
    assert all(image.package_layers[name] == rattler_image.package_layers[name] for name in shared)


def test_pip_packages_have_scripts_binaries_and_bytecode(
    image: SavedImage, lived_in: LivedIn, overlay: dict[str, bytes]
) -> None:
    """The script runs the image's Python, the binary does not change, and the modules are compiled."""
    site = str(lived_in.site.relative_to(lived_in.prefix))
    tree = image.tree()
    assert overlay["opt/env/bin/mine"].startswith(b"#!/opt/env/bin/python")
    assert tree["bin/mine"].executable
    assert len(overlay[f"opt/env/{site}/mine/native.so"]) == (lived_in.site / "mine/native.so").stat().st_size
    assert any(path.startswith(f"{site}/mine/__pycache__/cli.") for path in tree)
    assert tree[f"{site}/mine/data.json"] == node_at(lived_in.site / "mine/data.json")


def test_files_that_pip_replaced_or_removed_are_not_there(
    image: SavedImage, lived_in: LivedIn, warnings: dict[str, str]
) -> None:
    """pip replaced conda's tqdm, and removed idna. conda's records have both, in the image and in the prefix."""
    site = str(lived_in.site.relative_to(lived_in.prefix))
    modules = {path.removeprefix(f"{site}/") for path in image.tree() if path.startswith(site) and path.endswith(".py")}
    assert {module for module in modules if module.startswith("tqdm/")} == {"tqdm/__init__.py"}
    assert not {module for module in modules if module.startswith("idna/")}
    assert "tqdm" in warnings["conda-overwritten-by-pip"]
    names = {Path(path).name.split("-")[0] for path in image.tree() if path.startswith("conda-meta/")}
    assert {"tqdm", "idna"} <= names


def test_editable_installs_have_their_sources(
    image: SavedImage, overlay: dict[str, bytes], warnings: dict[str, str]
) -> None:
    """The sources are in /opt/src for each layout, without version control, and a message names them."""
    sources = {path for path in image.tree("opt/src") if path.endswith((".py", ".txt", "config"))}
    assert {"flat/flat/__init__.py", "flat/flat/data.txt", "nested/src/nested/__init__.py"} <= sources
    assert not [path for path in sources if ".git" in path]
    lines = {data for path, data in overlay.items() if path.endswith(".pth")}
    assert {b"/opt/src/flat\n", b"/opt/src/nested/src\n"} <= lines
    assert "editable" in warnings["editable-install"]


def test_edited_added_and_deleted_files_are_reported(warnings: dict[str, str]) -> None:
    """The message has the names of some of them."""
    assert "share/plaindata/0.csv" in warnings["modified-files"]
    assert "share/plaindata/1.csv" in warnings["missing-files"] or "idna" in warnings["missing-files"]
    assert "bin/own" in warnings["untracked-files"]
    assert "postlink" in warnings["post-link-script"]
    assert "do not touch" in warnings["frozen"]
    assert "MODE" in warnings["variables"]


def test_files_of_a_post_link_script_are_there(overlay: dict[str, bytes]) -> None:
    """The files contain the image's path."""
    assert overlay["opt/env/share/postlink/made.txt"] == b"made for /opt/env\n"


def test_pins_are_kept_and_secrets_are_not(image: SavedImage, overlay: dict[str, bytes]) -> None:
    """conda-meta/state has variables. Without a request, neither the files nor the configuration contain them."""
    assert overlay["opt/env/conda-meta/pinned"] == b"requests <99\n"
    assert b"do not touch" in overlay["opt/env/conda-meta/frozen"]
    assert "conda-meta/state" not in image.tree()
    assert "canary-variable" not in json.dumps(image.config)


def test_requested_variables_are_in_the_image(place: Workshop, lived_in: LivedIn, image: SavedImage) -> None:
    """The variables are only in the configuration, and a label has their names.

    As in an activated environment, their names have capital letters, and PATH is not among them.
    """
    asked = place.image(lived_in.prefix, "variables", variables=True)
    assert asked.environment["OWN_DATA"] == "/opt/env/share/own"
    assert asked.environment["PATH"] == image.environment["PATH"]
    assert (asked.environment["MODE"], asked.environment["TOKEN"]) == ("test", "canary-variable")
    assert asked.layers == image.layers
    labels = asked.config["config"]["Labels"]
    assert json.loads(labels["org.jupyter.condabuild.variables"]) == ["MODE", "OWN_DATA", "TOKEN"]
    assert "canary-variable" not in json.dumps(labels)


def test_the_second_build_makes_nothing(place: Workshop, lived_in: LivedIn, image: SavedImage) -> None:
    """The overlay is reused, too, by size and time of its files."""
    again = place.image(lived_in.prefix, "again")
    assert again.digest == image.digest
    assert place.layers("built") == set()


def test_another_machine_makes_the_same_overlay(
    tmp_path: Path, small_base: str, lived_in: LivedIn, image: SavedImage
) -> None:
    """The other machine has the same files, and its own store."""
    assert Workshop(tmp_path, small_base).image(lived_in.prefix).digest == image.digest


def test_strict_refuses_the_environment(place: Workshop, lived_in: LivedIn) -> None:
    """The error has all reasons, and nothing is built."""
    with pytest.raises(NotReproducible) as raised:
        place.image(lived_in.prefix, "strict", strict=True)
    for part in ("share/plaindata/0.csv", "bin/own", "editable", "tqdm", "postlink", "idna"):
        assert part in raised.value.message
    assert raised.value.hint
    assert not (place.folder / "strict.tar").exists()
    assert place.warnings.keys() & IRREPRODUCIBLE >= {"modified-files", "missing-files", "untracked-files"}


def test_too_many_bytes_without_a_package_are_refused(place: Workshop, lived_in: LivedIn) -> None:
    """The setting is the limit. The error names the largest folders."""
    with pytest.raises(OverlayTooLarge, match="The largest folders"):
        place.image(lived_in.prefix, "large", overlay_max_bytes=100)


def test_the_users_folder_is_the_top_layer(
    place: Workshop, lived_in: LivedIn, image: SavedImage, tmp_path: Path
) -> None:
    """The other layers do not change."""
    (tmp_path / "a.ipynb").write_text("{}")
    (tmp_path / ".dockerignore").write_text("*.tmp\n")
    (tmp_path / "b.tmp").write_text("")
    found = place.image(lived_in.prefix, "include", include=str(tmp_path))
    assert found.layers[:-1] == image.layers
    assert found.tree("work").keys() == {"a.ipynb", ".dockerignore"}
    owners = {header.path: header.owner for header in found.headers(found.layers[-1])}
    assert owners == {"work": (1000, 1000), "work/a.ipynb": (1000, 1000), "work/.dockerignore": (1000, 1000)}


@pytest.fixture(scope="module")
def loaded(
    place: Workshop, lived_in: LivedIn, base_reference: str, docker_client: docker.DockerClient
) -> Iterator[str]:
    """The image in an engine."""
    name = f"localhost/lived-in:{uuid.uuid4().hex}"
    place.build(lived_in.prefix, reference=name, load=True, base=base_reference)
    yield name
    docker_client.images.remove(name, force=True)


def test_the_image_runs(loaded: str, docker_client: Any) -> None:
    """Scripts, editable packages of both layouts, and replaced and removed packages of pip are tested."""
    code = "import flat, nested, tqdm, sys; print(flat.WHERE, nested.WHERE, tqdm.NEW, flat.__file__, nested.__file__)"
    gone = "python -c 'import idna' 2>&1 | tail -n 1"
    command = ["sh", "-c", f'mine && own && python -c "{code}" && {gone}']
    lines = docker_client.containers.run(loaded, command, network_mode="none", remove=True).decode().splitlines()
    assert lines[0].startswith("mine /opt/env/lib/python")
    assert lines[1] == "own /opt/env"
    assert lines[2] == "flat nested True /opt/src/flat/flat/__init__.py /opt/src/nested/src/nested/__init__.py"
    assert lines[3] == "ModuleNotFoundError: No module named 'idna'"
