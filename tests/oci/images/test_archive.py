"""Archives have the same bytes each time, and other tools accept them. A failed write leaves no file."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import docker
import jsonschema
import pytest

from jupyter_condabuild.errors import BadImage, ContentMismatch, DiskFull, StoreError, StoreUnwritable
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.archive import Archive, Kind
from jupyter_condabuild.oci.image import (
    OCI_LAYER_TAR,
    OCI_LAYER_ZSTD,
    Descriptor,
    Digest,
    Image,
    ImageConfig,
    Manifest,
    canonical_json,
)
from jupyter_condabuild.oci.index import Index, entry_of
from tests.parts.small_image import (
    ETC,
    NAME,
    OPT,
    Failing,
    Memory,
    blobs,
    from_source,
    image,
    members,
    run,
    tar,
)

SCHEMAS = json.loads((Path(__file__).parents[2] / "schemas" / "oci.json").read_text())


def valid(kind: str, value: Any) -> None:
    jsonschema.Draft202012Validator({**SCHEMAS, "$ref": f"#/$defs/{kind}"}).validate(value)


def blob(descriptor: dict[str, Any]) -> str:
    return archive.blob_path(Digest.parse(descriptor["digest"]))


# Written archives


def test_the_same_image_gives_the_same_bytes(small: Image, kind: Kind, tmp_path: Path) -> None:
    """The bytes of an archive depend neither on the size of the chunks nor on the umask."""
    archive.write(small, NAME, tmp_path / "one.tar", kind)
    again = from_source(small, Memory(blobs(small).blobs, chunk=7))
    before = os.umask(0o077)
    try:
        archive.write(again, NAME, tmp_path / "two.tar", kind)
    finally:
        os.umask(before)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_the_bytes_are_the_same_in_all_versions(small: Image, tmp_path: Path) -> None:
    """The archive of a fixed image with uncompressed layers has a fixed digest.

    Only a deliberate change may change it.
    """
    plain = [Descriptor(OCI_LAYER_TAR, Digest.of(layer), len(layer)) for layer in (ETC, OPT)]
    source = Memory({Digest.of(layer): layer for layer in (ETC, OPT)})
    fixed = Image(Manifest.make(small.manifest.config, plain), small.config, {part.digest: source for part in plain})
    digests = []
    for kind in get_args(Kind):
        archive.write(fixed, NAME, tmp_path / "image.tar", kind)
        digests.append(Digest.of((tmp_path / "image.tar").read_bytes()).hex[:16])
    assert digests == ["14bd00e18db3c60a", "83939cc0d31517d4"]


def test_an_archive_follows_the_oci_image_spec(oci: Path) -> None:
    """Layout, index, manifest and configuration are valid by OCI image-spec v1.1, and contain the platform."""
    files = members(oci)
    index = json.loads(files["index.json"])
    entry = index["manifests"][0]
    manifest = json.loads(files[blob(entry)])
    valid("layout", json.loads(files["oci-layout"]))
    valid("index", index)
    valid("manifest", manifest)
    valid("config", json.loads(files[blob(manifest["config"])]))
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
    for part in (entry, manifest["config"], *manifest["layers"]):
        assert Digest.of(files[blob(part)]) == Digest.parse(part["digest"])
        assert len(files[blob(part)]) == part["size"]


def test_an_archive_of_an_index_follows_the_oci_image_spec(tmp_path: Path, podman: Callable[..., str]) -> None:
    """index.json leads to the index, and the index to each image. A shared blob is there once. podman reads it."""
    images = [image([ETC, tar({"etc/arch": name.encode()})], name) for name in ("amd64", "arm64")]
    index = Index.make([entry_of(one.manifest, ImageConfig.parse(one.config)) for one in images])
    for name in ("one.tar", "two.tar"):
        archive.write_files(archive.index_entries(index, images, NAME), tmp_path / name)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as opened:
        names = opened.getnames()
        files = {name: opened.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert len(names) == len(set(names))
    assert "manifest.json" not in names
    valid("layout", json.loads(files["oci-layout"]))
    listing = json.loads(files["index.json"])
    valid("index", listing)
    [entry] = listing["manifests"]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "v1"
    assert files[blob(entry)] == index.raw
    valid("index", json.loads(index.raw))
    for one in json.loads(index.raw)["manifests"]:
        manifest = json.loads(files[blob(one)])
        valid("manifest", manifest)
        config = json.loads(files[blob(manifest["config"])])
        assert config["architecture"] == one["platform"]["architecture"]
        assert all(blob(layer) in names for layer in manifest["layers"])
    podman("pull", f"oci-archive:{tmp_path / 'one.tar'}")
    [pulled] = json.loads(podman("images", "--format", "json", "--no-trunc"))
    assert pulled["Id"] == images[0].manifest.config.digest.hex


def test_skopeo_inspects_and_copies_both_kinds(written: Path, small: Image, kind: Kind, tmp_path: Path) -> None:
    """skopeo reads both kinds of archive, and finds the same layers and configuration."""
    told = json.loads(run("skopeo", "inspect", f"{kind}:{written}"))
    assert told["Architecture"] == "amd64"
    assert told["Labels"] == {"a": "b"}
    run("skopeo", "--insecure-policy", "copy", f"{kind}:{written}", f"dir:{tmp_path / 'copy'}")
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_text())
    assert manifest["config"]["digest"] == str(small.manifest.config.digest)
    assert len(manifest["layers"]) == 3
    if kind == "oci-archive":
        assert (tmp_path / "copy" / "manifest.json").read_bytes() == small.manifest.raw


def test_umoci_unpacks_the_layers(oci: Path, tmp_path: Path) -> None:
    """umoci finds the image by its tag, and unpacks the same files."""
    run("tar", "-xf", oci, "-C", (tmp_path / "layout").mkdir() or tmp_path / "layout")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'layout'}:v1", tmp_path / "bundle")
    root = tmp_path / "bundle" / "rootfs"
    assert (root / "etc" / "name").read_bytes() == b"value\n"
    assert (root / "opt" / "env" / "data").read_bytes() == bytes(range(256)) * 1000


def test_podman_loads_both_kinds(written: Path, small: Image, podman: Callable[..., str]) -> None:
    """`podman load` gives the image our name, and uses the digest of our configuration as its id."""
    podman("load", "-i", written)
    assert podman("image", "inspect", NAME, "--format", "{{.Id}}").strip() == small.manifest.config.digest.hex


def test_docker_loads_both_kinds(small: Image, kind: Kind, tmp_path: Path, docker_client: docker.DockerClient) -> None:
    """`docker load` gives the image our name, and uses the digest of our configuration as its id."""
    name = f"registry.lab.org/condabuild-tests-{os.getpid()}/archive:v1"
    archive.write(small, name, tmp_path / "image.tar", kind)
    with (tmp_path / "image.tar").open("rb") as file:
        docker_client.images.load(file)
    try:
        assert docker_client.images.get(name).id == str(small.manifest.config.digest)
    finally:
        docker_client.images.remove(name)


def test_an_image_without_a_name_can_be_read(small: Image, kind: Kind, tmp_path: Path) -> None:
    """An archive without a name, or with only a digest, can be read."""
    for reference in ("", f"registry.lab.org/team/env@{small.manifest.descriptor.digest}"):
        archive.write(small, reference, tmp_path / "image.tar", kind)
        run("skopeo", "inspect", f"{kind}:{tmp_path / 'image.tar'}")
        with Archive(tmp_path / "image.tar") as saved:
            assert saved.image("amd64").config == small.config


def test_a_docker_archive_with_a_zstd_layer_is_refused(small: Image, tmp_path: Path) -> None:
    """A zstd layer in a docker-archive would fail at a labmate's `docker load`, so the writer refuses it."""
    layers = [{**layer.to_json(), "mediaType": OCI_LAYER_ZSTD} for layer in small.manifest.layers]
    raw = canonical_json({**json.loads(small.manifest.raw), "layers": layers})
    with pytest.raises(BadImage, match="zstd"):
        archive.write(
            Image(Manifest.parse(raw), small.config, small.sources), NAME, tmp_path / "image.tar", "docker-archive"
        )
    assert os.listdir(tmp_path) == []


def test_progress_ends_at_the_size_of_the_file(small: Image, kind: Kind, tmp_path: Path) -> None:
    """The total of the progress is known from the start, and is the size of the file."""
    told: list[tuple[int, int]] = []
    archive.write(small, NAME, tmp_path / "image.tar", kind, lambda complete, total: told.append((complete, total)))
    size = (tmp_path / "image.tar").stat().st_size
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert {total for _, total in told} == {size}


# Failed writes


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ContentMismatch("wrong bytes"), RuntimeError("a bug")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    small: Image, tmp_path: Path, error: BaseException
) -> None:
    """After Ctrl-C, a damaged layer or a bug during the write, the old file is unchanged, and no other file exists."""
    out = tmp_path / "image.tar"
    out.write_bytes(b"old")
    with pytest.raises(type(error)):
        archive.write(from_source(small, Failing(blobs(small), error)), NAME, out)
    assert out.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image.tar"]


@pytest.mark.parametrize("change", [b"", b"longer"])
def test_a_layer_with_a_wrong_size_is_an_error(small: Image, tmp_path: Path, change: bytes) -> None:
    """A source that gives fewer or more bytes than the manifest says is an error."""
    layer = small.manifest.layers[1]
    given = dict(blobs(small).blobs)
    given[layer.digest] = given[layer.digest] + change if change else given[layer.digest][:-1]
    with pytest.raises(ContentMismatch):
        archive.write(from_source(small, Memory(given)), NAME, tmp_path / "image.tar")
    assert os.listdir(tmp_path) == []


def test_the_error_names_a_missing_folder(small: Image, tmp_path: Path) -> None:
    """If the folder of the archive does not exist, the error names it, and nothing is written."""
    with pytest.raises(StoreError, match="nowhere"):
        archive.write(small, NAME, tmp_path / "nowhere" / "image.tar")
    assert os.listdir(tmp_path) == []


def test_only_a_file_is_replaced(small: Image, tmp_path: Path) -> None:
    """An archive does not replace a folder or a pipe. It replaces the target of a symbolic link, and keeps the link."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(StoreError, match=name):
            archive.write(small, NAME, tmp_path / name)
    (tmp_path / "link").symlink_to("folder/target.tar")
    archive.write(small, NAME, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]
    assert os.listdir(tmp_path / "folder") == ["target.tar"]


def test_the_error_names_a_full_disk(small: Image, tmp_path: Path) -> None:
    """If the disk becomes full during the write, the error says so, and the partial file is removed."""
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path]).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        with pytest.raises(DiskFull, match=r"image\.tar"):
            archive.write(image([os.urandom(100_000)]), NAME, tmp_path / "image.tar")
        assert os.listdir(tmp_path) == []
    finally:
        run("umount", tmp_path)


def test_the_error_names_a_read_only_folder(small: Image, tmp_path: Path) -> None:
    """A folder without write permission gives an error of its own. Its hint is about the file, not about the store."""
    if os.geteuid() == 0:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", tmp_path]).returncode:
            pytest.skip("root can write everywhere, and cannot mount a file system here")
    else:
        tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreUnwritable, match=r"image\.tar") as caught:
            archive.write(small, NAME, tmp_path / "image.tar")
        assert "-o" in caught.value.hint
    finally:
        if os.geteuid() == 0:
            run("umount", tmp_path)
