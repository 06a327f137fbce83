"""A layer of several blocks has the same bytes for any number of threads, and every program reads it."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.errors import ContentMismatch
from jupyter_condabuild.oci import archive, layer
from jupyter_condabuild.oci.gzip_blocks import BLOCK
from jupyter_condabuild.oci.image import Image, ImageConfig, Manifest, canonical_json
from jupyter_condabuild.oci.layer import Entry, LayerBlob, file_entry
from tests.conftest import missing
from tests.parts.small_image import NAME, Memory, run


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    """Small files, and large files that begin and end within blocks; their bytes are half random, half regular."""
    folder, source = tmp_path_factory.mktemp("files"), random.Random(5)
    result = [Entry(f"opt/env/small{number}", data=source.randbytes(number)) for number in range(300)]
    for name, size in (("a", 3 * BLOCK + 77), ("b", BLOCK), ("c", BLOCK - 512), ("d", 2 * BLOCK)):
        data = (source.randbytes(1000) + bytes(range(250)) * 4) * (size // 2000 + 1)
        (folder / name).write_bytes(data[:size])
        sha256 = hashlib.sha256(data[:size]).hexdigest()
        result.append(file_entry(f"opt/env/{name}", str(folder / name), sha256=sha256, root=str(folder)))
    return result


def written(entries: list[Entry], threads: int = 1, level: int = 1) -> tuple[LayerBlob, bytes]:
    out = io.BytesIO()
    return layer.write(entries, out, level, threads=threads), out.getvalue()


@pytest.mark.parametrize("level", [0, 1, 3])
def test_the_number_of_threads_does_not_change_the_bytes(entries: list[Entry], level: int) -> None:
    """A machine with many processors gives the same layer as one with a single processor."""
    one = written(entries, 1, level)
    assert all(written(entries, threads, level) == one for threads in (2, 5))


def test_the_blocks_are_one_member(entries: list[Entry]) -> None:
    """Some programs read only the first member of a gzip file. Checksum and length at its end are of the tar."""
    blob, data = written(entries)
    reader = zlib.decompressobj(31)
    tar = reader.decompress(data) + reader.flush()
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert (hashlib.sha256(tar).hexdigest(), len(tar)) == (blob.diff_id.hex, blob.tar_size)
    assert blob.tar_size > 5 * BLOCK


def test_the_first_bytes_of_a_block_are_flushed_alone(entries: list[Entry]) -> None:
    """Otherwise isal would take the hash of the third byte from a register that has an address.

    One block in 5,000 would then have other bytes. It needs thousands of processes to see one.
    """
    _, data = written(entries)
    first, _, _ = data[10:].partition(b"\0\0\xff\xff")  # RFC 1951: a flush ends with an empty stored block
    assert len(zlib.decompressobj(-15).decompress(first + b"\0\0\xff\xff")) == 8


@pytest.mark.parametrize("name", ["a", "c"])
def test_a_changed_file_is_noticed_by_threads(entries: list[Entry], tmp_path: Path, name: str) -> None:
    """The hash of a large file is ready before it is compared, although a thread computes it."""
    (entry,) = (entry for entry in entries if entry.path == f"opt/env/{name}")
    data = bytearray(Path(entry.source).read_bytes())
    data[-1] ^= 1
    (tmp_path / name).write_bytes(data)
    damaged = file_entry(entry.path, str(tmp_path / name), sha256=entry.sha256)
    with pytest.raises(ContentMismatch, match="not the file that the package contains"):
        written([damaged if other is entry else other for other in entries], 3)


# Other programs


@pytest.fixture(scope="module")
def image(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of an OCI archive with an image of one layer."""
    blob, data = written(entries, 2)
    value = {"architecture": "amd64", "os": "linux", "config": {}}
    value["rootfs"] = {"type": "layers", "diff_ids": [str(blob.diff_id)]}
    config = ImageConfig.parse(canonical_json(value))
    manifest = Manifest.make(config.descriptor, [blob.descriptor])
    source = Memory({blob.descriptor.digest: data})
    path = tmp_path_factory.mktemp("image") / "image.tar"
    archive.write(Image(manifest, config.raw, {blob.descriptor.digest: source}), NAME, path)
    return path


def same(root: Path, entries: list[Entry]) -> bool:
    """Whether a folder has the files of the layer."""
    wanted = {entry.path: entry.data or (Path(entry.source).read_bytes() if entry.source else b"") for entry in entries}
    return all((root / path).read_bytes() == data for path, data in wanted.items())


def test_gzip_and_tar_read_it(entries: list[Entry], tmp_path: Path) -> None:
    """`tar -xzf` gives the files back, and gzip finds no fault."""
    (tmp_path / "layer.gz").write_bytes(written(entries)[1])
    run("gzip", "--test", tmp_path / "layer.gz")
    run("tar", "-xzf", tmp_path / "layer.gz", "-C", tmp_path)
    assert same(tmp_path, entries)


def test_skopeo_decompresses_it(image: Path, tmp_path: Path, entries: list[Entry]) -> None:
    """Go's gzip gives the tar with the diff_id."""
    copy = ("copy", "--dest-decompress", f"oci-archive:{image}", f"dir:{tmp_path}")
    run("skopeo", "--insecure-policy", *copy)
    assert (tmp_path / written(entries)[0].diff_id.hex).stat().st_size == written(entries)[0].tar_size


def test_umoci_unpacks_it(image: Path, tmp_path: Path, entries: list[Entry]) -> None:
    """umoci decompresses with several threads, and verifies the diff_id."""
    run("tar", "-xf", image, "-C", (tmp_path / "layout").mkdir() or tmp_path / "layout")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:v1", tmp_path / "bundle")
    assert same(tmp_path / "bundle/rootfs", entries)


def test_podman_loads_it(image: Path, podman: Callable[..., str], tmp_path: Path, entries: list[Entry]) -> None:
    """Podman unpacks the layer and verifies the diff_id."""
    podman("load", "-i", image)
    root = podman("image", "mount", NAME).strip()
    assert same(Path(root), entries)


def test_docker_loads_it(image: Path, docker_client: docker.DockerClient, tmp_path: Path) -> None:
    """Docker 20.10 unpacks the layer and verifies the diff_id."""
    with image.open("rb") as file:
        (loaded,) = docker_client.images.load(file)
    try:
        assert loaded.attrs["Size"] > 5 * BLOCK
    finally:
        docker_client.images.remove(loaded.id, force=True)


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """`ctr` with a containerd of its own."""
    if os.getuid() or not shutil.which("containerd"):
        missing("Only root can start a containerd, and containerd must be installed")
    address = tmp_path / "socket"
    (tmp_path / "config").write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    command = ["containerd", "--config", tmp_path / "config", "--address", address]
    command += ["--root", tmp_path / "root", "--state", tmp_path / "state"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not address.exists() and process.poll() is None:
                time.sleep(0.05)
            yield lambda *arguments: run("ctr", "--address", address, *arguments)
        finally:
            process.terminate()


def test_containerd_unpacks_it(
    image: Path, containerd: Callable[..., str], tmp_path: Path, entries: list[Entry]
) -> None:
    """containerd unpacks the layer and verifies the diff_id."""
    containerd("images", "import", "--snapshotter", "native", image)
    (name,) = containerd("images", "list", "--quiet").split()
    containerd(
        "images", "mount", "--snapshotter", "native", name, (tmp_path / "mounted").mkdir() or tmp_path / "mounted"
    )
    try:
        assert same(tmp_path / "mounted", entries)
    finally:
        containerd("images", "unmount", "--rm", "--snapshotter", "native", tmp_path / "mounted")
