"""The layers engine: each layer comes from the cheapest source, and has the files of its packages."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotReproducible, PackageMismatch, PackageNotFound
from jupyter_condabuild.events import Layer, Progress
from tests.parts.builds import Package, Workshop, install, published, small_channel
from tests.parts.channel import channel as channels
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import PLACEHOLDER, File, Metadata
from tests.parts.image_tree import differences, tree_of
from tests.parts.registry.faults import FakeRegistry, Relay

PACKAGES: list[Package] = [
    (
        Metadata("data", "1.0", noarch="generic"),
        [
            *(File(f"share/data/{number}", b"number %d\n" % number) for number in range(4)),
            File("bin/data", f"#!{PLACEHOLDER}/bin/sh\n".encode(), 0o755, PLACEHOLDER),
        ],
    ),
    (Metadata("other", "1.0", noarch="generic"), [File("share/other/file", b"other\n")]),
]
BOTH = {"data-1.0-0", "other-1.0-0"}


@dataclass(frozen=True)
class Small:
    """A prefix with two packages, its package cache, and their channel, which records the requests."""

    prefix: Path
    pkgs: Path
    channel: Channel
    seen: list[str]

    @property
    def archives(self) -> list[str]:
        """The archives that were requested."""
        return [path for path in self.seen if path.endswith(".conda")]

    def locked(self) -> Path:
        """Returns the lock file of the prefix."""
        path = self.prefix.parent / "conda-lock.yml"
        path.write_text(dump(lock(snapshot(self.prefix))))
        return path


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    channel = small_channel(tmp_path / "channel", PACKAGES)
    seen: list[str] = []
    with channels.serve(channel, seen=seen) as url:
        prefix = prefixes.create(tmp_path / "env", ["data", "other"], url, tmp_path / "pkgs")
        seen.clear()
        yield Small(prefix, tmp_path / "pkgs", channel, seen)


@pytest.fixture
def good(small: Small, tmp_path: Path, small_base: str) -> dict[str, str]:
    """Returns the package layers before anything is damaged."""
    (tmp_path / "good").mkdir()
    return Workshop(tmp_path / "good", small_base).image(small.prefix).package_layers


@pytest.fixture
def name(registry: str) -> str:
    """A repository for one test."""
    return f"{registry}/layers/{uuid.uuid4().hex}"


def test_a_layer_in_the_store_is_not_made_again(workshop: Workshop, small: Small) -> None:
    """Its package is not linked and not looked up, so neither package cache nor channel needs it."""
    workshop.image(small.prefix)
    assert workshop.layers("built") == BOTH
    shutil.rmtree(small.pkgs)
    shutil.rmtree(small.channel.folder)
    workshop.image(small.prefix, "again")
    assert (workshop.layers("reused-local"), workshop.layers("built")) == (BOTH, set())


def test_a_package_that_no_cache_has_comes_from_the_channel(
    workshop: Workshop, small: Small, good: dict[str, str]
) -> None:
    """Each archive is requested once, and the layer is the same."""
    shutil.rmtree(small.pkgs)
    assert workshop.image(small.prefix).package_layers == good
    assert sorted(small.archives) == [f"/noarch/{dist}.conda" for dist in sorted(BOTH)]


def test_packages_are_not_compared_with_each_other(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work of a build grows with the number of packages, not with its square."""
    names = [f"p{number}" for number in range(40)]
    packages: list[Package] = [(Metadata(name, "1", noarch="generic"), [File(name, b"")]) for name in names]
    prefix = install(tmp_path / "env", small_channel(tmp_path / "channel", packages), *names)
    compared = 0

    def equal(one: CondaPackage, other: object) -> bool:
        nonlocal compared
        compared += 1
        return isinstance(other, CondaPackage) and astuple(one) == astuple(other)

    monkeypatch.setattr(CondaPackage, "__eq__", equal)
    workshop.build(prefix, archive=str(tmp_path / "image.tar"))
    assert compared < 4 * len(names)


def test_a_lock_file_and_a_prefix_give_the_same_layers(
    workshop: Workshop, small: Small, good: dict[str, str], tmp_path: Path
) -> None:
    """Each format that has the same hashes gives the same layers."""
    assert workshop.image(small.locked(), "conda-lock").package_layers == good
    (tmp_path / "pixi.lock").write_text(dump(lock(snapshot(small.prefix)), "pixi"))
    assert workshop.image(tmp_path / "pixi.lock", "pixi").package_layers == good
    assert not workshop.layers("built")


@pytest.mark.parametrize("damage", ["same size", "longer", "rewritten", "missing", "paths", "index"])
def test_a_damaged_package_cache_does_not_change_a_layer(
    workshop: Workshop, small: Small, good: dict[str, str], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layer is made from the archive, and a warning names the package with the damage."""
    folder = small.pkgs / "data-1.0-0"
    match damage:
        case "same size":
            (folder / "share/data/0").write_bytes(b"NUMBER 0\n")
        case "longer":
            (folder / "share/data/0").write_bytes(b"number 0, and more\n")
        case "rewritten":
            (folder / "bin/data").write_bytes((folder / "bin/data").read_bytes().replace(b"/bin/sh", b"/bin/SH"))
        case "missing":
            (folder / "share/data/0").unlink()
        case "paths" | "index":
            (folder / f"info/{damage}.json").write_bytes(b"{")
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(small.pkgs))
    assert workshop.image(small.locked()).package_layers == good
    assert "data-1.0-0" in workshop.warnings["package-cache-damaged"]
    assert small.archives == ["/noarch/data-1.0-0.conda"]


def test_an_edit_through_a_hard_link_is_in_the_image_and_not_in_the_layer(
    workshop: Workshop, small: Small, good: dict[str, str]
) -> None:
    """The layer has the file of the package. The user's edit is drift, and is in the overlay."""
    with (small.prefix / "share/data/0").open("r+b") as file:
        file.write(b"edited")
    image = workshop.image(small.prefix)
    assert image.package_layers == good
    assert {"package-cache-damaged", "modified-files"} <= workshop.warnings.keys()
    assert image.read("opt/env/share/data/0") == (small.prefix / "share/data/0").read_bytes() == b"edited 0\n"


def _expected(prefix: Path) -> dict[str, object]:
    found = tree_of(prefix)
    return {path: node for path, node in found.items() if not path.startswith(("conda-meta", "CACHEDIR", "bin"))}


@pytest.mark.parametrize("why", ["gone", "damaged and gone", "replaced"])
def test_an_unavailable_package_is_copied_from_the_prefix(workshop: Workshop, small: Small, why: str) -> None:
    """Its prefix is rewritten, and a message gives the reason. The other packages have their layers."""
    if why == "damaged and gone":
        (small.pkgs / "data-1.0-0/share/data/1").write_bytes(b"NUMBER 1\n")
    else:
        shutil.rmtree(small.pkgs / "data-1.0-0")
    archive = small.channel.folder / "noarch/data-1.0-0.conda"
    if why == "replaced":
        archive.write_bytes(archive.read_bytes() + b"x")
    else:
        archive.unlink()
    image = workshop.image(small.prefix)
    assert image.package_layers.keys() == {"other-1.0-0"}
    said = workshop.warnings["taken-from-prefix"]
    assert "data-1.0-0 is copied from this environment" in said
    assert ("bytes instead of" in said) is (why == "replaced")
    found = {path: node for path, node in image.tree().items() if not path.startswith(("conda-meta", "bin"))}
    assert differences(found, _expected(small.prefix)) == {}  # type: ignore[arg-type]
    assert image.read("opt/env/bin/data") == b"#!/opt/env/bin/sh\n"
    assert b'"name":"data"' in image.read("opt/env/conda-meta/data-1.0-0.json")


def test_strict_copies_nothing_from_the_prefix(workshop: Workshop, small: Small) -> None:
    """The error names the package."""
    shutil.rmtree(small.pkgs)
    with pytest.raises(NotReproducible, match=r"not available: data-1\.0-0, other-1\.0-0"):
        workshop.image(published(small.prefix), strict=True)


@pytest.mark.parametrize(("replaced", "error"), [(False, PackageNotFound), (True, PackageMismatch)])
def test_a_lock_file_with_an_unavailable_package_is_an_error(
    workshop: Workshop, small: Small, replaced: bool, error: type[Exception]
) -> None:
    """The error names the package, and no image is written."""
    lockfile = small.locked()
    archive = small.channel.folder / "noarch/data-1.0-0.conda"
    if replaced:
        archive.write_bytes(archive.read_bytes() + b"x")
    else:
        archive.unlink()
    shutil.rmtree(small.pkgs)
    with pytest.raises(error, match=r"data-1\.0"):
        workshop.image(lockfile)
    assert not (workshop.folder / "image.tar").exists()


def test_a_cache_image_is_enough(workshop: Workshop, small: Small, name: str, registry: str, small_base: str) -> None:
    """With an empty store and an unchanged lock file, no layer is built and no blob is sent.

    The audit reads a single blob.
    """
    lockfile = small.locked()
    first = workshop.build(lockfile, reference=f"{name}:v1", push=True)
    shutil.rmtree(small.pkgs)
    small.seen.clear()
    with Relay(registry) as relay:
        there = f"{relay.host}/{name.partition('/')[2]}"
        empty = Workshop(workshop.folder / "empty", small_base)
        again = empty.build(lockfile, reference=f"{there}/copy:v1", push=True, cache_from=(f"{there}:v1",))
    assert empty.layers("built") == set()
    assert empty.layers("reused-remote") == BOTH
    assert again.event.digest == first.event.digest
    blobs = sum(layer.descriptor.size for layer in again.layers) + again.image.manifest.config.size
    assert again.event.bytes_pushed < blobs
    assert relay.received < 40_000  # the receipt and the SBOMs are small
    assert not list((empty.store / "layers").iterdir())


def test_the_same_image_is_not_sent_again(workshop: Workshop, small: Small, name: str, registry: str) -> None:
    """There are some requests, but no blob and no manifest is sent."""
    workshop.build(small.prefix, reference=f"{name}:v1", push=True)
    with Relay(registry) as relay:
        there = f"{relay.host}/{name.partition('/')[2]}:v1"
        again = workshop.build(small.prefix, reference=there, push=True)
    assert again.event.bytes_pushed == 0
    assert relay.sent < 5000


def test_a_second_push_starts_no_upload(workshop: Workshop, small: Small, fake_registry: FakeRegistry) -> None:
    """The registry counts no POST, PATCH or PUT."""
    reference = f"{fake_registry.host}/team/env:v1"
    workshop.build(small.prefix, reference=reference, push=True)
    fake_registry.seen.clear()
    again = workshop.build(small.prefix, reference=reference, push=True)
    assert again.event.bytes_pushed == 0
    assert {seen.method for seen in fake_registry.seen} <= {"GET", "HEAD"}


@pytest.mark.parametrize("lost", ["layer", "configuration", "base", "manifest"])
def test_again_repairs_an_image_with_a_lost_blob(
    workshop: Workshop, small: Small, fake_registry: FakeRegistry, lost: str
) -> None:
    """A manifest is no proof that the registry still has the blobs, so each blob is requested again."""
    reference = f"{fake_registry.host}/team/env:v1"
    first = workshop.build(small.prefix, reference=reference, push=True)
    manifest = first.image.manifest
    before = dict(fake_registry.blobs["team/env"])
    parts = {"layer": first.layers[-1].descriptor, "configuration": manifest.config, "base": manifest.layers[0]}
    if lost == "manifest":
        del fake_registry.manifests["team/env"][str(manifest.descriptor.digest)]
    else:
        del fake_registry.blobs["team/env"][str(parts[lost].digest)]
    again = workshop.build(small.prefix, reference=reference, push=True, again=True)
    assert again.event.digest == first.event.digest
    assert fake_registry.blobs["team/env"] == before
    assert str(manifest.descriptor.digest) in fake_registry.manifests["team/env"]


def test_another_tag_of_the_repository_needs_only_the_manifest(
    workshop: Workshop, small: Small, fake_registry: FakeRegistry
) -> None:
    """The last push to the repository is remembered."""
    workshop.build(small.prefix, reference=f"{fake_registry.host}/team/env:v1", push=True)
    fake_registry.seen.clear()
    again = workshop.build(small.prefix, reference=f"{fake_registry.host}/team/env:v2", push=True)
    assert again.event.bytes_pushed == 0
    assert [seen.path for seen in fake_registry.seen if seen.method not in ("GET", "HEAD")] == [
        "/v2/team/env/manifests/v2"
    ]


def test_a_missing_cache_is_no_failure(workshop: Workshop, small: Small) -> None:
    """The build continues without the cache."""
    nowhere = ("127.0.0.1:9/team/env:v1",)
    workshop.image(small.prefix, cache_from=nowhere)
    assert workshop.layers("built") == BOTH


def test_layers_of_a_cache_are_written_to_an_archive(
    workshop: Workshop, small: Small, name: str, small_base: str
) -> None:
    """Their bytes are downloaded and checked."""
    workshop.build(small.prefix, reference=f"{name}:v1", push=True)
    lockfile, local = small.locked(), workshop.image(small.prefix)
    shutil.rmtree(small.pkgs)
    empty = Workshop(workshop.folder / "empty", small_base)
    empty.folder.mkdir()
    image = empty.image(lockfile, cache_from=(f"{name}:v1",))
    assert empty.layers("built") == set()
    assert image.layers == local.layers
    assert image.tree() == local.tree()


def test_progress_reaches_the_total(workshop: Workshop, small: Small) -> None:
    """Progress never goes back, and ends at its total."""
    workshop.image(small.prefix)
    found = [event for event in workshop.events if isinstance(event, Progress) and event.subject == "build"]
    assert [event.complete for event in found] == sorted(event.complete for event in found)
    assert found[-1].complete == found[-1].total > 0


def test_every_layer_is_reported(workshop: Workshop, small: Small) -> None:
    """The event has key, packages and size as in the manifest."""
    result = workshop.build(small.prefix, archive=str(workshop.folder / "x.tar"))
    told = {event.key: event for event in workshop.events if isinstance(event, Layer) and event.key}
    for layer in result.image.manifest.layers[2:]:
        if key := layer.annotations.get("org.jupyter.condabuild.layer.key"):
            assert told[key].size == layer.size
            assert " ".join(told[key].packages) == layer.annotations["org.jupyter.condabuild.layer.packages"]


def test_an_explicit_file_gives_the_same_layers_as_the_prefix(
    workshop: Workshop, rattler_prefix: Path, rattler_image: object, channel_url: str, tmp_path: Path
) -> None:
    """An explicit file has no dependencies. The packages themselves show whether they need Python."""
    text = dump(lock(snapshot(rattler_prefix)), "explicit", hash="md5")
    (tmp_path / "explicit.txt").write_text(text)
    assert not any(package.depends for package in load(text).conda)
    image = workshop.image(tmp_path / "explicit.txt")
    tars = dict(zip(rattler_image.layers, rattler_image.diff_ids, strict=True))  # type: ignore[attr-defined]
    expected = {names: tars[digest] for names, digest in rattler_image.package_layers.items()}  # type: ignore[attr-defined]
    own = dict(zip(image.layers, image.diff_ids, strict=True))
    assert {names: own[digest] for names, digest in image.package_layers.items()} == expected


@pytest.mark.parametrize("place", ["repodata", "archives"])
def test_an_explicit_file_with_sha256_shares_the_layers_of_the_prefix(
    workshop: Workshop, small: Small, tmp_path: Path, place: str
) -> None:
    """The keys of layers have the md5, which the file lacks. It comes from the first of these places."""
    workshop.image(small.prefix)
    text = dump(lock(snapshot(small.prefix)), "explicit")
    (tmp_path / "explicit.txt").write_text(text)
    assert not any(package.md5 for package in load(text).conda)
    if place == "archives":
        for file in small.channel.folder.glob("*/repodata*"):
            file.unlink()
    workshop.image(tmp_path / "explicit.txt", "explicit")
    assert (workshop.layers("reused-local"), workshop.layers("built")) == (BOTH, set())


def test_a_store_on_another_disk_works(small_disk: Path, small: Small, small_base: str, good: dict[str, str]) -> None:
    """Files are copied if they cannot be linked."""
    assert os.stat(small_disk).st_dev != os.stat(small.pkgs).st_dev
    assert Workshop(small_disk, small_base).image(small.prefix).package_layers == good
