"""jupyter condabuild sif: the image of a name, or one image of an index, becomes a SIF, in a file or in a registry."""

from __future__ import annotations

import json
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path

from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import OCI_LAYER_ZSTD, OCI_MANIFEST
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.location import ImageLocation
from tests.oci.sif.sif_file import unpacked
from tests.parts.command_line import CommandLine
from tests.parts.image_tree import differences, tree_of
from tests.parts.registry.pushing import connect, push_image
from tests.parts.small_image import ETC, OPT, image, run


def test_one_image_of_an_index_becomes_a_sif(registry: str, tmp_path: Path) -> None:
    """The platform chooses the image. An error leaves no file, and the same image gives the same bytes."""
    command, repository = CommandLine(tmp_path), f"sif/{uuid.uuid4().hex}"
    name = f"{registry}/{repository}:v1"
    with connect(registry) as opened:
        place = opened.repository(repository)
        pushed = push_image(place)
        entry = replace(pushed.descriptor, platform={"os": "linux", "architecture": "amd64"})
        place.push_manifest(Index.make([entry]), "v1")
    done = command("sif", name, "--platform", "linux-64", "-o", tmp_path / "env.sif", "--json")
    assert done.status == 0, done.err
    assert done.json["digest"] == str(pushed.descriptor.digest)
    assert list((unpacked(tmp_path / "env.sif", tmp_path / "files") / ".singularity.d").iterdir())
    assert command("sif", name, "--platform", "linux-64", "-o", tmp_path / "again.sif").status == 0
    assert (tmp_path / "again.sif").read_bytes() == (tmp_path / "env.sif").read_bytes()
    done = command("sif", name, "--platform", "linux-aarch64", "-o", tmp_path / "other.sif")
    assert (done.status, "only for linux/amd64" in done.err) == (1, True)
    assert not (tmp_path / "other.sif").exists()
    assert command("sif", name).status == 2
    assert ImageLocation.parse_any(str(tmp_path / "env.sif")).kind == "sif"


def test_layers_in_zstd_become_a_sif(tmp_path: Path) -> None:
    """Another program has compressed the layers again. All files are the same, but the one that names the digest."""
    gzip, plain, zstd = f"oci-archive:{tmp_path / 'gzip.tar'}", f"dir:{tmp_path / 'plain'}", f"oci:{tmp_path / 'zstd'}"
    archive.write(image([ETC, OPT]), "", tmp_path / "gzip.tar", "oci-archive")
    run("skopeo", "copy", "--dest-decompress", gzip, plain)
    run("skopeo", "copy", "--dest-compress-format=zstd", plain, zstd)
    layers = json.loads(run("skopeo", "inspect", "--raw", zstd))["layers"]
    assert {layer["mediaType"] for layer in layers} == {OCI_LAYER_ZSTD}
    command = CommandLine(tmp_path)
    for name, source in (("gzip.sif", gzip), ("zstd.sif", zstd)):
        done = command("sif", source, "-o", tmp_path / name)
        assert done.status == 0, done.err
    trees = [tree_of(unpacked(tmp_path / f"{kind}.sif", tmp_path / f"{kind}-files")) for kind in ("gzip", "zstd")]
    assert list(differences(*trees)) == [".singularity.d/Singularity"]


def test_a_sif_is_pushed_beside_its_image(registry: str, tmp_path: Path) -> None:
    """A plain client finds what Apptainer looks for, and gets the bytes of the file. The same image gives the same SIF.

    The refusals come before the SIF is made.
    """
    command, repository = CommandLine(tmp_path), f"sif/{uuid.uuid4().hex}/env"
    name = f"{registry}/{repository}:v1"
    with connect(registry) as opened:
        push_image(opened.repository(repository), "v1")
    done = command("sif", name, "--push", "-o", tmp_path / "env.sif", "--json")
    assert done.status == 0, done.err
    assert done.json["pushed"] == f"oras://{registry}/{repository}:v1-sif"
    url = f"http://{registry}/v2/{repository}"

    def get(path: str) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{path}", headers={"Accept": OCI_MANIFEST})) as found:
            return bytes(found.read())

    raw = get("manifests/v1-sif")
    manifest = json.loads(raw)
    assert manifest["mediaType"] == OCI_MANIFEST
    assert manifest["config"]["mediaType"] == "application/vnd.sylabs.sif.config.v1+json"
    assert get(f"blobs/{manifest['config']['digest']}") == b"{}"
    [blob] = manifest["layers"]
    assert blob["mediaType"] == "application/vnd.sylabs.sif.layer.v1.sif"
    assert blob["annotations"] == {"org.opencontainers.image.title": "env_v1.sif"}
    content = get(f"blobs/{blob['digest']}")
    assert content == (tmp_path / "env.sif").read_bytes()
    assert len(content) == blob["size"]
    done = command("sif", name, "--push", "--platform", "linux-64")
    assert (done.status, f"apptainer pull env.sif oras://{registry}/{repository}:v1-sif-amd64" in done.out) == (0, True)
    assert get("manifests/v1-sif-amd64") == raw
    digest = f"{registry}/{repository}@sha256:{'0' * 64}"
    for wrong, said in {
        digest: "with a tag",
        "oci-archive:a.tar": "with a tag",
        "env:v1": "names no registry",
        f"{name}{'1' * 123}": "is not a tag",
    }.items():
        done = command("sif", wrong, "--push")
        assert (done.status in (1, 2), said in done.err) == (True, True), done.err
