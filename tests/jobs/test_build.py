"""A whole build: the files of the environment in the image are the files of py-rattler's installation at /opt/env."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import rattler

from jupyter_condabuild.conda.formats import conda_lock, load
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.events import Finished, Phase
from jupyter_condabuild.oci.layer import EPOCH
from tests.parts.builds import Workshop
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.fixtures import SPECS
from tests.parts.channel.package import MTIME
from tests.parts.image_tree import Node, SavedImage, differences, tree_of

ODD = ("clobber-a", "clobber-b", "oddnames", "plaindata", "activation", "greet", "textprefix")

ALLOWED = {
    "CACHEDIR.TAG": "py-rattler's mark on every prefix, for backup programs",
    "__clobbers__/": "where py-rattler keeps what lost; in the image each package's layer has it",
    "conda-meta/history": "conda wants the file; it is empty here, since it holds the commands of a user",
    "/__pycache__/": "bytecode that conda compiles and py-rattler does not (checked below)",
    "conda-meta/": "records are compared field by field (below): some name folders of the machine",
}
"""The allowed differences between the image and py-rattler's prefix: a part of the path, and the reason."""


def installed_at_opt_env(folder: Path, specs: Sequence[str], channel_url: str, cache: Path) -> Path:
    """Returns a prefix that py-rattler makes for /opt/env, in another folder."""
    records = prefixes.solve(specs, channel_url, cache)
    options = {"alternative_target_prefix": "/opt/env", "execute_link_scripts": False, "show_progress": False}
    asyncio.run(rattler.install(records, folder, cache_dir=cache, **options))
    return folder


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, channel_url: str, package_cache: Path) -> Path:
    """py-rattler's prefix with the packages of `rattler_prefix` and `conda_prefix`."""
    return installed_at_opt_env(tmp_path_factory.mktemp("plain") / "env", SPECS, channel_url, package_cache)


def unexplained(found: dict[str, Node], expected: dict[str, Node]) -> dict[str, tuple[str, str]]:
    """Returns the differences that are not allowed."""
    wrong = differences(found, expected)
    return {path: pair for path, pair in wrong.items() if not any(part in f"/{path}" for part in ALLOWED)}


@pytest.mark.parametrize("made_by", ["rattler", "conda"])
def test_the_image_has_the_files_of_the_prefix(made_by: str, request: pytest.FixtureRequest, plain: Path) -> None:
    """Contents, targets of links and x bits of every path are the same, for a prefix of any tool."""
    image: SavedImage = request.getfixturevalue(f"{made_by}_image")
    tree = image.tree()
    assert len(tree) > 2000
    assert unexplained(tree, tree_of(plain)) == {}


@pytest.mark.parametrize("budget", [96, 3])
def test_odd_packages_are_complete_in_the_image(
    workshop: Workshop, channel_url: str, package_cache: Path, tmp_path: Path, budget: int
) -> None:
    """Any name, any link and paths of two packages are kept, with own and with shared layers."""
    prefix = prefixes.create(tmp_path / "env", ODD, channel_url, package_cache)
    image = workshop.image(prefix, layer_budget=budget)
    expected = installed_at_opt_env(tmp_path / "plain", ODD, channel_url, package_cache)
    assert unexplained(image.tree(), tree_of(expected)) == {}


def test_only_the_bytecode_that_conda_compiles_is_added(
    rattler_image: SavedImage, conda_prefix: Path, plain: Path
) -> None:
    """Shipped files do not change. The bytecode that conda compiles is there, except for test suites."""

    def bytecode(tree: dict[str, Node]) -> dict[str, Node]:
        return {path: node for path, node in tree.items() if path.endswith(".pyc")}

    shipped, found = bytecode(tree_of(plain)), bytecode(rattler_image.tree())
    assert {path: found.get(path) for path in shipped} == shipped
    records = snapshot(conda_prefix).records
    compiled = {entry.path for record in records for entry in record.paths if entry.kind == "pyc_file"}
    compiled = {path for path in compiled if not {"test", "tests"} & set(path.split("/"))}
    assert compiled <= found.keys() - shipped.keys()
    extra = found.keys() - shipped.keys() - compiled
    sources = {f"{path.split('__pycache__/')[0]}{path.rpartition('/')[2].split('.')[0]}.py" for path in extra}
    assert sources <= rattler_image.tree().keys()


VOLATILE = {
    "link": "how the files came into a prefix",
    "extracted_package_dir": "a folder of the machine",
    "package_tarball_full_path": "a folder of the machine",
    "requested_specs": "what a user asked for; a layer is of a package, and serves many users",
    "files": "compared with paths_data",
    "paths_data": "compared path by path",
    "size": "of the archive: the lock file has it; it does not decide what a layer is",
    "channel": "written with and without a slash at the end; the URL is compared",
    "indexed_timestamp": "when a channel was indexed",
}
"""Fields of a record that do not belong to the package, and the reason."""


def records(files: dict[str, bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, data in files.items():
        yield path, json.loads(data)


def meta_of(image: SavedImage) -> dict[str, bytes]:
    """Returns the records in the image."""
    found = {}
    for digest in image.layers[image.base_layers :]:
        with image.layer(digest) as layer:
            for member in layer:
                if member.name.startswith("opt/env/conda-meta/") and member.name.endswith(".json"):
                    found[Path(member.name).name] = layer.extractfile(member).read()  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize("made_by", ["rattler", "conda"])
def test_conda_meta_lists_the_same_packages(made_by: str, request: pytest.FixtureRequest, plain: Path) -> None:
    """Every record has every field of the package. py-rattler and conda find the same packages in the image."""
    found = meta_of(request.getfixturevalue(f"{made_by}_image"))
    expected = {path.name: path.read_bytes() for path in (plain / "conda-meta").glob("*.json")}
    assert found.keys() == expected.keys()
    for name, record in records(found):
        other = json.loads(expected[name])
        fields = {key for key in {*record, *other} if record.get(key) or other.get(key)} - VOLATILE.keys()
        differing = {key for key in fields if record.get(key) != other.get(key)}
        assert not differing, (name, [(record.get(key), other.get(key)) for key in differing])
        paths = {entry["_path"]: entry for entry in record["paths_data"]["paths"] if entry["path_type"] != "pyc_file"}
        assert paths == {entry["_path"]: entry for entry in other["paths_data"]["paths"]}
        assert sorted(record["files"]) == sorted(entry["_path"] for entry in record["paths_data"]["paths"])


def test_rattler_reads_every_record(rattler_image: SavedImage, tmp_path: Path) -> None:
    """py-rattler reads our records like its own records."""
    for name, data in meta_of(rattler_image).items():
        (tmp_path / name).write_bytes(data)
        record = rattler.PrefixRecord.from_path(tmp_path / name)
        assert f"{record.name.normalized}-{record.version}-{record.build}.json" == name
        assert record.sha256


def test_prefixes_of_rattler_and_conda_give_the_same_layers(rattler_image: SavedImage, conda_image: SavedImage) -> None:
    """The layers depend on the packages, and not on the program that installed them."""
    assert rattler_image.package_layers == conda_image.package_layers


def test_headers_contain_nothing_of_this_machine(rattler_image: SavedImage) -> None:
    """The owner is root, except in the user's folders.

    Modes depend on the x bit. Times come from packages, or are constant.
    """
    for number, digest in enumerate(rattler_image.layers[rattler_image.base_layers :]):
        for header in rattler_image.headers(digest):
            own = header.path in ("home/user", "work")
            assert header.owner == ((1000, 1000) if own else (0, 0)), header
            assert header.mode in ({0o1777} if own else {0o755} if header.type == b"5" else {0o644, 0o755, 0o777})
            assert header.mtime in (EPOCH, MTIME), header
            assert header.type in (b"0", b"2", b"5"), header
        assert number < 125


def test_the_image_contains_its_lock_file(rattler_image: SavedImage, rattler_prefix: Path) -> None:
    """Its configuration contains the environment's lock file, and a label has its digest."""
    locked = lock(snapshot(rattler_prefix))
    packed = rattler_image.config["org.jupyter.condabuild.lockfile"]
    text = gzip.decompress(base64.b64decode(packed)).decode()
    assert text == conda_lock.dump(locked, created_by="")
    labels = rattler_image.config["config"]["Labels"]
    assert labels["org.jupyter.condabuild.environment"] == load(text).digest == locked.digest
    requested = [spec.split()[0] for spec in json.loads(labels["org.jupyter.condabuild.requested"])]
    assert requested == sorted(spec.split("=")[0] for spec in SPECS)
    assert labels["of"] == "base"


def test_history_and_layers_agree(rattler_image: SavedImage) -> None:
    """Tools that read both need the same number (image-spec config.md)."""
    filled = [entry for entry in rattler_image.config["history"] if not entry.get("empty_layer")]
    assert len(filled) == len(rattler_image.diff_ids) == len(rattler_image.layers)
    assert "requests" in json.dumps(filled)


def test_diff_ids_belong_to_the_layers(rattler_image: SavedImage) -> None:
    """The diff_ids are the digests of the uncompressed tars, in order."""
    import gzip
    import hashlib
    import tarfile

    with tarfile.open(rattler_image.archive) as archive:
        for digest, diff_id in zip(rattler_image.layers, rattler_image.diff_ids, strict=True):
            blob = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert blob
            assert f"sha256:{hashlib.sha256(gzip.decompress(blob.read())).hexdigest()}" == diff_id


def test_the_build_reports_its_phases(
    workshop: Workshop, channel_url: str, package_cache: Path, tmp_path: Path
) -> None:
    """Each phase starts and ends, in order. One event ends the build."""
    prefix = prefixes.create(tmp_path / "env", ["plaindata"], channel_url, package_cache)
    workshop.image(prefix)
    phases = [(event.name, event.state) for event in workshop.events if isinstance(event, Phase)]
    names = ["snapshot", "lock", "plan", "base", "layers", "link", "export"]
    assert [name for name, state in phases if state == "started"] == names
    assert sorted(name for name, state in phases if state == "done") == sorted(names)
    assert [isinstance(event, Finished) for event in workshop.events].count(True) == 1
    assert isinstance(workshop.events[-1], Finished)
