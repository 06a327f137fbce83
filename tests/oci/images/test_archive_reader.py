"""Archives of any tool are read without a copy. Damaged and hostile archives are refused."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_condabuild.errors import BadImage, CondaBuildError, ContentMismatch
from jupyter_condabuild.oci import archive, files
from jupyter_condabuild.oci.archive import Archive, Kind
from jupyter_condabuild.oci.archive_reader import MOST_JSON
from jupyter_condabuild.oci.image import (
    OCI_LAYER_TAR,
    Descriptor,
    Digest,
    Image,
    Manifest,
    canonical_json,
)
from jupyter_condabuild.system.zstd import zstd
from tests.parts.small_image import ETC, NAME, OPT, add, content, image, members, run, tar


def layers_of(path: Path) -> list[bytes]:
    """Returns the layers of the image in an archive."""
    with Archive(path) as saved:
        return content(saved.image("amd64"))


class Layout:
    """Writes an OCI archive by hand."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(self, media_type: str, data: bytes) -> dict[str, Any]:
        self.files[archive.blob_path(Digest.of(data))] = data
        return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}

    def add(self, image: Image, architecture: str = "") -> dict[str, Any]:
        for part in (image.manifest.config, *image.manifest.layers):
            self.blob(part.media_type, b"".join(image.read(part)))
        entry = self.blob(image.manifest.media_type, image.manifest.raw)
        return {**entry, "platform": {"os": "linux", "architecture": architecture}} if architecture else entry

    def index(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        media_type = "application/vnd.oci.image.index.v1+json"
        return self.blob(
            media_type, canonical_json({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
        )

    def write(self, path: Path, entries: list[dict[str, Any]]) -> None:
        with tarfile.open(path, "w") as out:
            for name, data in {**self.files, "index.json": json.dumps({"manifests": entries}).encode()}.items():
                add(out, name, data)


# Accepted archives


def test_a_written_archive_can_be_read(written: Path, small: Image, kind: Kind) -> None:
    """Layers and configuration are the same after writing and reading. So is the manifest, in an OCI archive."""
    with Archive(written) as saved:
        again = saved.image("amd64")
        assert again.config == small.config
        assert content(again) == content(small)
        if kind == "oci-archive":
            assert again.manifest.raw == small.manifest.raw
        assert [layer.digest for layer in again.manifest.layers] == [layer.digest for layer in small.manifest.layers]


def test_an_oci_layout_folder_is_read(oci: Path, small: Image, tmp_path: Path) -> None:
    """An OCI layout folder is read like an OCI archive. A link in the folder cannot point outside of it."""
    folder = tmp_path / "layout"
    folder.mkdir()
    subprocess.run(["tar", "--extract", f"--file={oci}", f"--directory={folder}"], check=True)
    assert layers_of(folder) == content(small)
    layer = folder / archive.blob_path(small.manifest.layers[0].digest)
    layer.rename(tmp_path / "elsewhere")
    layer.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadImage, match="does not contain"):
        layers_of(folder)


def test_plain_layers_of_a_docker_archive_are_read(oci: Path, small: Image, tmp_path: Path) -> None:
    """If a docker-archive has uncompressed layers, as Docker saves them, the digest of each layer is its diff_id."""
    run("skopeo", "--insecure-policy", "copy", f"oci-archive:{oci}", f"docker-archive:{tmp_path / 'docker.tar'}:{NAME}")
    with Archive(tmp_path / "docker.tar") as saved:
        again = saved.image("amd64")
        assert again.config == small.config
        assert [layer.media_type for layer in again.manifest.layers] == [OCI_LAYER_TAR] * 3
        assert content(again) == [ETC, OPT, ETC]
        archive.write(again, NAME, tmp_path / "again.tar")
    run("skopeo", "inspect", f"oci-archive:{tmp_path / 'again.tar'}")


def test_layers_that_docker_saves_as_links_are_read(small: Image, tmp_path: Path) -> None:
    """Docker before version 25 saves a layer that occurs twice as a file and a link to it. Both layers are read."""
    config = f"{small.manifest.config.digest.hex}.json"
    listed = [{"Config": config, "RepoTags": [NAME], "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}]
    with tarfile.open(tmp_path / "docker.tar", "w") as out:
        for name, data in {"a/layer.tar": ETC, "b/layer.tar": OPT, config: small.config}.items():
            add(out, name, data)
        link = tarfile.TarInfo("c/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../a/layer.tar"
        out.addfile(link)
        add(out, "manifest.json", json.dumps(listed).encode())
    assert layers_of(tmp_path / "docker.tar") == [ETC, OPT, ETC]


def test_the_processor_is_chosen_from_an_index(tmp_path: Path) -> None:
    """The image for the right processor is taken from an index, also from a nested one.

    Without it, an error is raised.
    """
    images = {architecture: image([ETC], architecture) for architecture in ("amd64", "arm64")}
    layout = Layout()
    inner = layout.index([layout.add(images[name], name) for name in images])
    layout.write(tmp_path / "multi.tar", [inner])
    with Archive(tmp_path / "multi.tar") as saved:
        assert saved.image("arm64").config == images["arm64"].config
        assert saved.image("amd64").config == images["amd64"].config
        with pytest.raises(BadImage, match="no image for riscv64"):
            saved.image("riscv64")


def test_an_image_for_another_processor_is_refused(written: Path, tmp_path: Path) -> None:
    """In both kinds of archive, the processor in the image's configuration counts, whatever an index says."""
    with Archive(written) as saved, pytest.raises(BadImage, match="arm64"):
        saved.image("arm64")
    layout = Layout()
    layout.write(tmp_path / "lying.tar", [layout.add(image([ETC], "amd64"), "arm64")])
    with Archive(tmp_path / "lying.tar") as saved, pytest.raises(BadImage, match="for 'amd64', not for arm64"):
        saved.image("arm64")


def test_an_archive_of_several_images_is_refused(tmp_path: Path) -> None:
    """The error message lists the names of the images."""
    layout = Layout()
    one, two = image([ETC]), image([OPT])
    layout.write(
        tmp_path / "many.tar",
        [
            {**layout.add(one), "annotations": {"io.containerd.image.name": "docker.io/library/debian:latest"}},
            {**layout.add(two), "annotations": {"org.opencontainers.image.ref.name": "v2"}},
        ],
    )
    said = r"several images\. It contains docker\.io/library/debian:latest, v2"
    with Archive(tmp_path / "many.tar") as saved, pytest.raises(BadImage, match=said):
        saved.image("amd64")


def test_memory_does_not_grow_with_the_layer(tmp_path: Path) -> None:
    """A layer of 300 MB is written and read in chunks."""

    class Zeros:
        def read(self, descriptor: Any) -> Iterator[bytes]:
            for _ in range(300):
                yield bytes(1 << 20)

    zeros = Digest("9" * 64)
    small = image([ETC])
    big = Descriptor(OCI_LAYER_TAR, zeros, 300 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    archive.write(
        Image(Manifest.make(small.manifest.config, [big]), small.config, {zeros: Zeros()}), "", tmp_path / "a.tar"
    )
    with Archive(tmp_path / "a.tar") as saved:
        chunks = saved.image("amd64").read(big)
        with pytest.raises(ContentMismatch):
            deque(chunks, maxlen=0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


# Refused archives


def test_a_wrong_blob_is_an_error(oci: Path, small: Image) -> None:
    """A changed byte in a layer is found when the layer is read. In a manifest or configuration, it is found before."""
    layer = small.manifest.layers[1]
    data = oci.read_bytes()
    stored = b"".join(small.read(layer))
    oci.write_bytes(data.replace(stored, stored[:-9] + b"x" + stored[-8:]))
    with pytest.raises(ContentMismatch):
        layers_of(oci)
    for inside in (small.manifest.raw, small.config):
        oci.write_bytes(data.replace(inside, inside.replace(b"layers", b"Layers")))
        with pytest.raises(ContentMismatch):
            layers_of(oci)


def docker_archive(layer: bytes, path: Path) -> Path:
    """Writes a docker-archive of an image with one layer, whose content is `ETC` as the configuration says."""
    with tarfile.open(path, "w") as out:
        add(out, "manifest.json", json.dumps([{"Config": "c", "RepoTags": None, "Layers": ["l"]}]).encode())
        add(out, "c", image([ETC]).config)
        add(out, "l", layer)
    return path


def test_a_wrong_layer_in_a_docker_archive_is_an_error(tmp_path: Path) -> None:
    """A layer that does not match its diff_id is refused, both compressed and uncompressed."""
    for pack, magic in ((gzip.compress, b"\x1f\x8b"), (zstd.compress, b"\x28\xb5\x2f\xfd")):
        for layer in (OPT, pack(OPT), pack(ETC)[:-9], magic + b"something else"):
            with pytest.raises((BadImage, ContentMismatch)):
                layers_of(docker_archive(layer, tmp_path / "docker.tar"))


@pytest.mark.parametrize(("pack", "name"), [(bytes, "tar"), (gzip.compress, "tar+gzip"), (zstd.compress, "tar+zstd")])
def test_a_layer_of_a_docker_archive_has_any_compression(
    pack: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    """The image has the layer as the file has it, with the media type of its compression."""
    layer = pack(ETC)
    with Archive(docker_archive(layer, tmp_path / "docker.tar")) as saved:
        found = saved.image("amd64")
        (descriptor,) = found.manifest.layers
        assert b"".join(found.read(descriptor)) == layer
    assert (descriptor.digest, descriptor.size) == (Digest.of(layer), len(layer))
    assert descriptor.media_type == f"application/vnd.oci.image.layer.v1.{name}"


def test_an_archive_cut_anywhere_is_an_error(written: Path) -> None:
    """An archive that is cut anywhere before the end of its last layer is refused."""
    data = written.read_bytes()
    for length in range(0, len(data) - 1024 - 512, 97):
        written.write_bytes(data[:length])
        with pytest.raises(BadImage):
            layers_of(written)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ({"name": "../outside"}, "leads out"),
        ({"name": "blobs/../../outside"}, "leads out"),
        ({"name": "/etc/passwd"}, "leads out"),
        ({"name": "./././/etc"}, None),
        ({"name": "index.json"}, "twice"),
        ({"name": "./index.json"}, "twice"),
        ({"name": "index.json", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, None),
        ({"name": "x", "type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, None),
        ({"name": "x", "type": tarfile.CHRTYPE}, None),
        ({"name": "big", "size": 5 << 30}, "is incomplete"),
        ({"name": "huge", "size": 1 << 70}, "is incomplete"),
        ({"name": "less", "size": -512}, "negative"),
        ({"name": "x", "type": tarfile.XHDTYPE, "size": 5 << 30}, "is incomplete"),
    ],
)
def test_tricks_in_a_tar_are_refused_or_have_no_effect(
    oci: Path, small: Image, member: dict[str, Any], said: str | None
) -> None:
    """Paths outside the archive, repeated files and impossible sizes are refused. Links and devices are ignored."""
    info = tarfile.TarInfo()
    for key, value in member.items():
        setattr(info, key, value)
    header = info.tobuf(tarfile.GNU_FORMAT)
    oci.write_bytes(oci.read_bytes()[:-1024] + header + bytes(1024))
    if said is None:
        assert layers_of(oci) == content(small)
    else:
        with pytest.raises(BadImage, match=said):
            Archive(oci)


def test_a_link_instead_of_a_blob_is_a_missing_blob(oci: Path, small: Image, tmp_path: Path) -> None:
    """A layer that is a link is missing, even if the link points to the right bytes."""
    layer = archive.blob_path(small.manifest.layers[0].digest)
    with tarfile.open(tmp_path / "linked.tar", "w") as out:
        for name, data in members(oci).items():
            if name != layer:
                add(out, name, data)
        link = tarfile.TarInfo(layer)
        link.type, link.linkname = tarfile.LNKTYPE, "index.json"
        out.addfile(link)
    with Archive(tmp_path / "linked.tar") as saved, pytest.raises(BadImage, match="does not contain"):
        saved.image("amd64")


def test_too_large_documents_are_not_read(tmp_path: Path, oci: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON documents and names of many megabytes, and too many files, are refused by their size. They are not read."""
    for name in ("index.json", "manifest.json"):
        (tmp_path / "large.tar").write_bytes(tar({name: b"{}" + b" " * MOST_JSON}))
        with Archive(tmp_path / "large.tar") as saved, pytest.raises(BadImage, match="too many for a JSON document"):
            saved.image("amd64")
    (tmp_path / "long.tar").write_bytes(tar({"x" * (2 << 20): b"", "index.json": b"{}"}))
    with pytest.raises(BadImage, match="file name or header of"):
        Archive(tmp_path / "long.tar")
    monkeypatch.setattr(files, "MOST_ENTRIES", 5)
    with pytest.raises(BadImage, match="more than 5 files"):
        Archive(oci)


@pytest.mark.parametrize(
    "index",
    [
        b"[" * 100_000,
        b"{}",
        b"null",
        b"\xff\xfe",
        b" " * (5 << 20),
        b'{"manifests": [7]}',
        b'{"manifests": [{"mediaType": "a/b", "digest": "sha256:../../x", "size": 1}]}',
        b'{"manifests": [{"mediaType": "a/b", "digest": "sha256:%s", "size": 1, "annotations": [1]}]}' % (b"0" * 64),
        b'{"manifests": [{"mediaType": "a/b", "digest": "sha256:%s", "size": 1, "platform": "x"}]}' % (b"0" * 64),
        b'{"manifests": []}',
    ],
    ids=lambda index: index[:20].decode(errors="replace"),
)
def test_an_invalid_index_is_an_error(tmp_path: Path, index: bytes) -> None:
    """JSON that is too large, too deep, not JSON or not an index gives an error of ours, in both kinds of archive."""
    for name in ("index.json", "manifest.json"):
        with tarfile.open(tmp_path / "bad.tar", "w") as out:
            add(out, name, index)
        with pytest.raises(CondaBuildError):
            layers_of(tmp_path / "bad.tar")


def test_each_kind_of_invalid_archive_has_its_message(tmp_path: Path, oci: Path) -> None:
    """A missing file, an empty folder, another kind of file and a compressed archive have different messages."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello\n" * 200)
    (tmp_path / "small.gz").write_bytes(gzip.compress(oci.read_bytes()))
    (tmp_path / "other.tar").write_bytes(tar({"a": b"b"}))
    for name, said in {
        "missing": "does not exist",
        "empty": "is not an image",
        "text": "is not a tar archive",
        "small.gz": "compressed with gzip",
        "other.tar": "is not an image",
        "../../../../../../dev/null": "is not a file",
    }.items():
        with pytest.raises(BadImage, match=said):
            Archive(tmp_path / name)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_gives_an_error_or_the_right_bytes(data: st.DataObject, tmp_path: Path, kind: Kind) -> None:
    """An archive with changed bytes is read right, or is refused with an error of ours. It is never read wrong."""
    small = image([ETC, tar({"data": bytes(range(256)) * 8})])
    archive.write(small, NAME, tmp_path / "image.tar", kind)
    damaged = bytearray((tmp_path / "image.tar").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        damaged[place : place + len(new)] = new
    (tmp_path / "image.tar").write_bytes(damaged)
    try:
        with Archive(tmp_path / "image.tar") as saved:
            again = saved.image("amd64")
            # A docker-archive has the hashes of the uncompressed layers. So a gzip header may change, which does no
            # harm.
            assert list(map(gzip.decompress, content(again))) == list(map(gzip.decompress, content(small)))
            assert kind == "docker-archive" or content(again) == content(small)
    except CondaBuildError:
        pass
