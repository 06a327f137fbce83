"""jupyter condabuild sif: the image of a name, or one image of an index, becomes a SIF."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.location import ImageLocation
from tests.oci.sif.sif_file import unpacked
from tests.parts.command_line import CommandLine
from tests.parts.registry.pushing import connect, push_image


def test_one_image_of_an_index_becomes_a_sif(registry: str, tmp_path: Path) -> None:
    """The platform chooses the image. An error leaves no file, and the same image gives the same bytes."""
    command, repository = CommandLine(tmp_path), f"sif/{uuid.uuid4().hex}"
    name = f"{registry}/{repository}:v1"
    with connect(registry) as opened:
        place = opened.repository(repository)
        image = push_image(place)
        entry = replace(image.descriptor, platform={"os": "linux", "architecture": "amd64"})
        place.push_manifest(Index.make([entry]), "v1")
    done = command("sif", name, "--platform", "linux-64", "-o", tmp_path / "env.sif", "--json")
    assert done.status == 0, done.err
    assert done.json["digest"] == str(image.descriptor.digest)
    assert list((unpacked(tmp_path / "env.sif", tmp_path / "files") / ".singularity.d").iterdir())
    assert command("sif", name, "--platform", "linux-64", "-o", tmp_path / "again.sif").status == 0
    assert (tmp_path / "again.sif").read_bytes() == (tmp_path / "env.sif").read_bytes()
    done = command("sif", name, "--platform", "linux-aarch64", "-o", tmp_path / "other.sif")
    assert (done.status, "only for linux/amd64" in done.err) == (1, True)
    assert not (tmp_path / "other.sif").exists()
    assert command("sif", name).status == 2
    assert ImageLocation.parse_any(str(tmp_path / "env.sif")).kind == "sif"
