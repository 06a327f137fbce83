"""The location of an image has one notation everywhere: a reference, or a prefix and a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.errors import BadDigest, BadReference
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("registry.lab.org/team/env:v1", "registry", "registry.lab.org/team/env:v1"),
        ("debian", "registry", "debian"),
        ("localhost:5000/env", "registry", "localhost:5000/env"),
        ("oci-archive:/tmp/a b.tar", "oci-archive", "/tmp/a b.tar"),
        ("docker-archive:x.tar:y", "docker-archive", "x.tar:y"),
        ("oci:folder", "oci", "folder"),
        ("docker-daemon:sha256:abc", "docker-daemon", "sha256:abc"),
        ("debian-packages:bookworm", "debian-packages", "bookworm"),
    ],
)
def test_a_location_is_parsed_and_formatted(text: str, kind: str, name: str) -> None:
    """The text of a location is parsed as the same location."""
    location = ImageLocation.parse(text)
    assert (location.kind, location.name) == (kind, name)
    assert ImageLocation.parse(str(location)) == location
    assert location.is_file == (kind in ("oci-archive", "docker-archive", "oci"))


@pytest.mark.parametrize("text", ["", "oci-archive:", "docker-daemon:", "Upper/case", "a b"])
def test_a_text_that_is_no_location_is_refused(text: str) -> None:
    """An empty name, and a text that is not a reference, are refused."""
    with pytest.raises(BadReference):
        ImageLocation.parse(text)
    with pytest.raises(BadDigest):
        ImageLocation.parse("registry.lab.org/env@sha256:1")


def test_an_existing_path_needs_no_prefix(tmp_path: Path) -> None:
    """A file is an archive, and a folder is a layout. A name without a path in the file system is a reference."""
    file = tmp_path / "env.tar"
    file.write_bytes(b"")
    assert ImageLocation.parse_any(str(file)) == ImageLocation("oci-archive", str(file))
    assert ImageLocation.parse_any(str(tmp_path)) == ImageLocation("oci", str(tmp_path))
    assert ImageLocation.parse_any("team/env").reference == Reference.parse("team/env")


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("x.tar", "oci-archive", "x.tar"),
        ("docker-archive:x.tar", "docker-archive", "x.tar"),
        ("a:b.tar", "oci-archive", "a:b.tar"),
        ("x.sif", "sif", "x.sif"),
        ("sif:x", "sif", "x"),
        ("oci-archive:x.sif", "oci-archive", "x.sif"),
    ],
)
def test_an_archive_is_an_oci_archive_by_default(text: str, kind: str, path: str) -> None:
    """Without a prefix, ``-o`` names an OCI archive, or a SIF if it ends in .sif. A colon in a path has no meaning."""
    location = ImageLocation.parse_archive(text)
    assert (location.kind, location.path) == (kind, Path(path))
