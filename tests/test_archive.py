"""Archives: what the judges accept, what reading them refuses, and what a failed write leaves behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import shutil
import subprocess
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_condabuild.errors import BadImage, CondaBuildError, ContentMismatch, DiskFull, StoreError, StoreUnwritable
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.archive import Archive, Kind
from jupyter_condabuild.oci.image import (
    OCI_LAYER_GZIP,
    OCI_LAYER_TAR,
    Descriptor,
    Digest,
    Image,
    Manifest,
    canonical_json,
)
from tests.small_image import Memory, image, tar

NAME = "registry.lab.org/team/env:v1"
ETC, OPT = tar({"etc/name": b"value\n"}), tar({"opt/env/data": bytes(range(256)) * 1000})
SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "oci.json").read_text())
KINDS: list[Kind] = ["oci-archive", "docker-archive"]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def content(image: Image) -> list[bytes]:
    return [b"".join(image.read(layer)) for layer in image.manifest.layers]


def layers_of(path: Path) -> list[bytes]:
    """The layers of the image in an archive."""
    with Archive(path) as saved:
        return content(saved.image("amd64"))


@pytest.fixture
def small() -> Image:
    """Three layers, of which two are the same."""
    return image([ETC, OPT, ETC], Cmd=["/hello"], Env=["PATH=/opt/env/bin"], Labels={"a": "b"})


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def written(small: Image, kind: Kind, tmp_path: Path) -> Path:
    archive.write(small, NAME, tmp_path / "image.tar", kind)
    return tmp_path / "image.tar"


@pytest.fixture
def podman() -> Iterator[Callable[..., str]]:
    """The podman command with a store of its own, under a path of the few characters that it allows."""
    with tempfile.TemporaryDirectory() as folder:
        store = ("--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        yield lambda *arguments: run("podman", *store, *arguments)


@pytest.fixture
def oci(small: Image, tmp_path: Path) -> Path:
    archive.write(small, NAME, tmp_path / "image.tar")
    return tmp_path / "image.tar"


# What is written


def test_the_same_image_gives_the_same_bytes(small: Image, kind: Kind, tmp_path: Path) -> None:
    """Whoever writes an image, in chunks of whatever size and under whatever umask, writes the same archive."""
    archive.write(small, NAME, tmp_path / "one.tar", kind)
    blobs = next(iter(small.sources.values())).blobs  # type: ignore[attr-defined]
    again = Image(small.manifest, small.config, dict.fromkeys(small.sources, Memory(blobs, chunk=7)))
    before = os.umask(0o077)
    try:
        archive.write(again, NAME, tmp_path / "two.tar", kind)
    finally:
        os.umask(before)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_the_bytes_do_not_change_between_versions(small: Image, tmp_path: Path) -> None:
    """An archive of a fixed image, its layers not compressed, has a digest that only a deliberate change may change."""
    plain = [Descriptor(OCI_LAYER_TAR, Digest.of(layer), len(layer)) for layer in (ETC, OPT)]
    source = Memory({Digest.of(layer): layer for layer in (ETC, OPT)})
    fixed = Image(Manifest.make(small.manifest.config, plain), small.config, {part.digest: source for part in plain})
    digests = []
    for kind in KINDS:
        archive.write(fixed, NAME, tmp_path / "image.tar", kind)
        digests.append(Digest.of((tmp_path / "image.tar").read_bytes()).hex[:16])
    assert digests == ["14bd00e18db3c60a", "83939cc0d31517d4"]


def test_what_is_written_follows_the_oci_image_spec(oci: Path) -> None:
    """Layout, index, manifest and configuration are valid by the rules of OCI image-spec v1.1, and say the platform."""
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


@needs("skopeo")
def test_skopeo_inspects_and_copies_both_kinds(written: Path, small: Image, kind: Kind, tmp_path: Path) -> None:
    """skopeo reads either archive and finds the layers and the configuration in it that went in."""
    told = json.loads(run("skopeo", "inspect", f"{kind}:{written}"))
    assert told["Architecture"] == "amd64"
    assert told["Labels"] == {"a": "b"}
    run("skopeo", "--insecure-policy", "copy", f"{kind}:{written}", f"dir:{tmp_path / 'copy'}")
    manifest = json.loads((tmp_path / "copy" / "manifest.json").read_text())
    assert manifest["config"]["digest"] == str(small.manifest.config.digest)
    assert len(manifest["layers"]) == 3
    if kind == "oci-archive":
        assert (tmp_path / "copy" / "manifest.json").read_bytes() == small.manifest.raw


@needs("umoci")
def test_umoci_unpacks_the_layers(oci: Path, tmp_path: Path) -> None:
    """umoci finds the image by its tag and unpacks the very files that were packed."""
    run("tar", "-xf", oci, "-C", (tmp_path / "layout").mkdir() or tmp_path / "layout")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'layout'}:v1", tmp_path / "bundle")
    root = tmp_path / "bundle" / "rootfs"
    assert (root / "etc" / "name").read_bytes() == b"value\n"
    assert (root / "opt" / "env" / "data").read_bytes() == bytes(range(256)) * 1000


@needs("podman")
def test_podman_loads_both_kinds(written: Path, small: Image, podman: Callable[..., str]) -> None:
    """podman load names the image as we did, and gives it the digest of our configuration as its id."""
    podman("load", "-i", written)
    assert podman("image", "inspect", NAME, "--format", "{{.Id}}").strip() == small.manifest.config.digest.hex


@needs("skopeo")
def test_an_image_without_a_name_is_fine(small: Image, kind: Kind, tmp_path: Path) -> None:
    """An archive may have no name, or be named by digest alone: it is read all the same."""
    for reference in ("", f"registry.lab.org/team/env@{small.manifest.descriptor.digest}"):
        archive.write(small, reference, tmp_path / "image.tar", kind)
        run("skopeo", "inspect", f"{kind}:{tmp_path / 'image.tar'}")
        with Archive(tmp_path / "image.tar") as saved:
            assert saved.image("amd64").config == small.config


def test_a_docker_archive_refuses_layers_that_docker_may_not_know(small: Image, tmp_path: Path) -> None:
    """A zstd layer in a docker-archive would fail at the labmate's `docker load`: it is refused where it is written."""
    layers = [
        {**layer.to_json(), "mediaType": OCI_LAYER_GZIP.replace("gzip", "zstd")} for layer in small.manifest.layers
    ]
    raw = canonical_json({**json.loads(small.manifest.raw), "layers": layers})
    with pytest.raises(BadImage, match="zstd"):
        archive.write(
            Image(Manifest.parse(raw), small.config, small.sources), NAME, tmp_path / "image.tar", "docker-archive"
        )
    assert os.listdir(tmp_path) == []


def test_progress_ends_at_the_size_of_the_file(small: Image, kind: Kind, tmp_path: Path) -> None:
    """Progress grows to its total, which is known from the start and is the size of the file."""
    told: list[tuple[int, int]] = []
    archive.write(small, NAME, tmp_path / "image.tar", kind, lambda complete, total: told.append((complete, total)))
    size = (tmp_path / "image.tar").stat().st_size
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert {total for _, total in told} == {size}


# What a failed write leaves


class Failing(Memory):
    """Blobs whose reading ends with an exception after a while."""

    def __init__(self, blobs: dict[Digest, bytes], error: BaseException) -> None:
        super().__init__(blobs)
        self.error = error

    def read(self, descriptor: Any) -> Iterator[bytes]:
        yield next(super().read(descriptor))
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ContentMismatch("wrong bytes"), RuntimeError("a bug")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    small: Image, tmp_path: Path, error: BaseException
) -> None:
    """Ctrl-C, a damaged layer or a bug in mid-write: the file of that name is the old one, and no other is left."""
    out = tmp_path / "image.tar"
    out.write_bytes(b"old")
    blobs = next(iter(small.sources.values())).blobs  # type: ignore[attr-defined]
    failing = Image(small.manifest, small.config, dict.fromkeys(small.sources, Failing(blobs, error)))
    with pytest.raises(type(error)):
        archive.write(failing, NAME, out)
    assert out.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image.tar"]


@pytest.mark.parametrize("change", [b"", b"longer"])
def test_a_layer_of_another_size_is_an_error(small: Image, tmp_path: Path, change: bytes) -> None:
    """A source that gives fewer or more bytes than the manifest promises cannot make an archive."""
    layer = small.manifest.layers[1]
    blobs = dict(next(iter(small.sources.values())).blobs)  # type: ignore[attr-defined]
    blobs[layer.digest] = blobs[layer.digest] + change if change else blobs[layer.digest][:-1]
    with pytest.raises(ContentMismatch):
        archive.write(
            Image(small.manifest, small.config, dict.fromkeys(small.sources, Memory(blobs))),
            NAME,
            tmp_path / "image.tar",
        )
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(small: Image, tmp_path: Path) -> None:
    """Writing into a folder that does not exist says which, and makes nothing."""
    with pytest.raises(StoreError, match="nowhere"):
        archive.write(small, NAME, tmp_path / "nowhere" / "image.tar")
    assert os.listdir(tmp_path) == []


def test_only_a_file_is_replaced(small: Image, tmp_path: Path) -> None:
    """A folder or a pipe is not replaced by an archive; a symbolic link stays, and its target is replaced."""
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


def test_a_full_disk_is_named(small: Image, tmp_path: Path) -> None:
    """When the disk fills while the archive is written, the error says so, and the space is given back."""
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path]).returncode:
        pytest.skip("may not mount a small file system")
    try:
        with pytest.raises(DiskFull, match=r"image\.tar"):
            archive.write(image([os.urandom(100_000)]), NAME, tmp_path / "image.tar")
        assert os.listdir(tmp_path) == []
    finally:
        run("umount", tmp_path)


def test_a_read_only_folder_is_named(small: Image, tmp_path: Path) -> None:
    """A folder that may not be written gives its own error, whose hint is about the file, not about the store."""
    if os.geteuid() == 0:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", tmp_path]).returncode:
            pytest.skip("root may write everywhere, and may not mount here")
    else:
        tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreUnwritable, match=r"image\.tar") as caught:
            archive.write(small, NAME, tmp_path / "image.tar")
        assert "-o" in caught.value.hint
    finally:
        if os.geteuid() == 0:
            run("umount", tmp_path)


# What is read


def test_what_was_written_is_read_back(written: Path, small: Image, kind: Kind) -> None:
    """Layers and configuration come back as they were; from an OCI archive the manifest does too, byte for byte."""
    with Archive(written) as saved:
        again = saved.image("amd64")
        assert again.config == small.config
        assert content(again) == content(small)
        if kind == "oci-archive":
            assert again.manifest.raw == small.manifest.raw
        assert [layer.digest for layer in again.manifest.layers] == [layer.digest for layer in small.manifest.layers]


def test_an_oci_layout_folder_is_read(oci: Path, small: Image, tmp_path: Path) -> None:
    """An OCI layout folder serves as an OCI archive does; a link in it does not lead out of it."""
    folder = tmp_path / "layout"
    with tarfile.open(oci) as tarball:
        tarball.extractall(folder, filter="data")
    assert layers_of(folder) == content(small)
    layer = folder / archive.blob_path(small.manifest.layers[0].digest)
    layer.rename(tmp_path / "elsewhere")
    layer.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadImage, match="lacks"):
        layers_of(folder)


@needs("skopeo")
def test_plain_layers_of_a_docker_archive_are_read(oci: Path, small: Image, tmp_path: Path) -> None:
    """A docker-archive with layers as plain tars, as Docker saves it, gives layers whose digest is the diff_id."""
    run("skopeo", "--insecure-policy", "copy", f"oci-archive:{oci}", f"docker-archive:{tmp_path / 'docker.tar'}:{NAME}")
    with Archive(tmp_path / "docker.tar") as saved:
        again = saved.image("amd64", NAME)
        assert again.config == small.config
        assert [layer.media_type for layer in again.manifest.layers] == [OCI_LAYER_TAR] * 3
        assert content(again) == [ETC, OPT, ETC]
        archive.write(again, NAME, tmp_path / "again.tar")
    run("skopeo", "inspect", f"oci-archive:{tmp_path / 'again.tar'}")


def test_layers_that_docker_saved_as_links_are_read(small: Image, tmp_path: Path) -> None:
    """Docker before 25 saves the second of two equal layers as a link to the first: both are found."""
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
    """Of an image for several processors the right one is taken, through nested indexes; another one is an error."""
    images = {architecture: image([ETC], architecture) for architecture in ("amd64", "arm64")}
    layout = Layout()
    inner = layout.index([layout.add(images[name], name) for name in images])
    layout.write(tmp_path / "multi.tar", [inner])
    with Archive(tmp_path / "multi.tar") as saved:
        assert saved.image("arm64").config == images["arm64"].config
        assert saved.image("amd64").config == images["amd64"].config
        with pytest.raises(BadImage, match="none for this processor"):
            saved.image("riscv64")


def test_the_image_is_chosen_by_name(tmp_path: Path) -> None:
    """An archive with several images asks which, lists them, and knows a name in its short and its full form."""
    layout = Layout()
    one, two = image([ETC]), image([OPT])
    layout.write(
        tmp_path / "many.tar",
        [
            {**layout.add(one), "annotations": {"io.containerd.image.name": "docker.io/library/debian:latest"}},
            {**layout.add(two), "annotations": {"org.opencontainers.image.ref.name": "v2"}},
        ],
    )
    with Archive(tmp_path / "many.tar") as saved:
        assert saved.image("amd64", "debian").config == one.config
        assert saved.image("amd64", "v2").config == two.config
        with pytest.raises(BadImage, match=r"several images\. It has docker\.io/library/debian:latest, v2"):
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


# What is refused


def test_a_wrong_blob_is_an_error(oci: Path, small: Image) -> None:
    """One changed byte in a layer is found when the layer is read, one in a manifest or configuration before that."""
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


def test_a_wrong_layer_in_a_docker_archive_is_an_error(small: Image, tmp_path: Path) -> None:
    """A layer that is not what its diff_id promises is refused, whether it is compressed or a plain tar."""
    for layer in (OPT, gzip.compress(OPT), gzip.compress(ETC)[:-9], b"\x1f\x8bnot gzip"):
        with tarfile.open(tmp_path / "docker.tar", "w") as out:
            config = image([ETC]).config
            add(out, "manifest.json", json.dumps([{"Config": "c", "RepoTags": None, "Layers": ["l"]}]).encode())
            add(out, "c", config)
            add(out, "l", layer)
        with pytest.raises((BadImage, ContentMismatch)):
            layers_of(tmp_path / "docker.tar")


def test_an_archive_cut_anywhere_is_an_error(written: Path) -> None:
    """Wherever an archive was cut before its last layer's end, it gives no image."""
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
        ({"name": "big", "size": 5 << 30}, "cut short"),
        ({"name": "huge", "size": 1 << 70}, "cut short"),
        ({"name": "less", "size": -512}, "negative"),
        ({"name": "x", "type": tarfile.XHDTYPE, "size": 5 << 30}, "cut short"),
    ],
)
def test_tricks_in_a_tar_are_refused_or_without_effect(
    oci: Path, small: Image, member: dict[str, Any], said: str | None
) -> None:
    """Names that lead out, files that come twice and sizes that cannot be are refused; links and devices do nothing."""
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


def test_a_link_in_place_of_a_blob_is_a_missing_blob(oci: Path, small: Image, tmp_path: Path) -> None:
    """A layer that is only a link, even to the right bytes, is missing."""
    layer = archive.blob_path(small.manifest.layers[0].digest)
    with tarfile.open(tmp_path / "linked.tar", "w") as out:
        for name, data in members(oci).items():
            if name != layer:
                add(out, name, data)
        link = tarfile.TarInfo(layer)
        link.type, link.linkname = tarfile.LNKTYPE, "index.json"
        out.addfile(link)
    with pytest.raises(BadImage, match="lacks"):
        layers_of(tmp_path / "linked.tar")


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
def test_a_nonsense_index_is_an_error(tmp_path: Path, index: bytes) -> None:
    """JSON that is giant, bottomless, not JSON or not an index gives a named error, in either kind of archive."""
    for name in ("index.json", "manifest.json"):
        with tarfile.open(tmp_path / "bad.tar", "w") as out:
            add(out, name, index)
        with pytest.raises(CondaBuildError):
            layers_of(tmp_path / "bad.tar")


def test_what_is_no_archive_is_told_apart(tmp_path: Path, oci: Path) -> None:
    """A missing file, an empty folder, some other file, a compressed archive: each has its own message."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello\n" * 200)
    (tmp_path / "small.gz").write_bytes(gzip.compress(oci.read_bytes()))
    (tmp_path / "other.tar").write_bytes(tar({"a": b"b"}))
    for name, said in {
        "missing": "does not exist",
        "empty": "is no image",
        "text": "is not a tar archive",
        "small.gz": "compressed with gzip",
        "other.tar": "is no image",
        "../../../../../../dev/null": "is not a file",
    }.items():
        with pytest.raises(BadImage, match=said):
            Archive(tmp_path / name)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_gives_an_error_or_the_right_bytes(data: st.DataObject, tmp_path: Path, kind: Kind) -> None:
    """Whatever bytes of an archive change, it is read right or refused with a named error, never read wrong."""
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
            # A docker-archive promises the layers' tars alone: a gzip header may change unnoticed, and do no harm.
            assert list(map(gzip.decompress, content(again))) == list(map(gzip.decompress, content(small)))
            assert kind == "docker-archive" or content(again) == content(small)
    except CondaBuildError:
        pass


# Means


def valid(kind: str, value: Any) -> None:
    jsonschema.Draft202012Validator({**SCHEMAS, "$ref": f"#/$defs/{kind}"}).validate(value)


def blob(descriptor: dict[str, Any]) -> str:
    return archive.blob_path(Digest.parse(descriptor["digest"]))


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tarball:
        return {member.name: tarball.extractfile(member).read() for member in tarball}  # type: ignore[union-attr]


def add(out: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    out.addfile(member, io.BytesIO(data))


class Layout:
    """An OCI archive made by hand."""

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
