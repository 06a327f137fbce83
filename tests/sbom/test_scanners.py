"""Scanners find the packages of an image.

The tests contain the rules of their sources, because no scanner runs here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.sbom.documents import documents
from tests.parts.bills import make
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata

TRIVY_CONDA_META = re.compile(r".*/envs/.+/conda-meta/.+-.+-.+\.json")
"""trivy, pkg/fanal/analyzer/language/conda/meta/meta.go: fileRegex."""

TRIVY_SBOM_TYPES = ("application/vnd.cyclonedx+json", "application/spdx+json")
"""trivy, internal/oci: SupportedSBOMArtifactTypes. The blob must have the same media type (remote_sbom.go)."""

SYFT_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "version", "build", "channel", "subdir", "license", "md5", "sha256", "fn", "url"), str),
    **dict.fromkeys(("noarch", "arch"), (str, type(None))),
    **dict.fromkeys(("build_number", "size", "timestamp"), int),
    **dict.fromkeys(("depends", "files"), list),
}
"""syft, syft/pkg/conda.go: the types of CondaMetaPackage. syft stops reading a record at a member of another type."""

DOCS = Path(__file__).parents[2] / "docs/sbom.md"


@pytest.fixture
def records(workshop: Workshop, tmp_path: Path) -> dict[str, Any]:
    """Returns the records of conda in an image, by their paths in the layers."""
    packages: list[Package] = [
        (Metadata("a-b", "1.0", noarch="generic", license="MIT", depends=("c",)), [File("share/a", b"a")]),
        (Metadata("c", "1.0", build="h1_0"), [File("lib/c", b"c")]),
    ]
    image = workshop.image(install(tmp_path / "env", small_channel(tmp_path / "channel", packages), "a-b"))
    paths = [f"opt/env/{path}" for path in image.tree() if re.fullmatch(r"conda-meta/.+\.json", path)]
    return {path: json.loads(image.read(path)) for path in paths}


def test_trivy_finds_the_records_with_the_documented_pattern(records: dict[str, Any]) -> None:
    """Without the pattern, trivy finds none.

    A link to a folder `envs` would not help: trivy skips links (pkg/fanal/walker/tar.go).
    """
    [pattern] = re.findall(r"--file-patterns 'conda-pkg:(.+?)'", DOCS.read_text())
    assert len(records) == 2
    for path in records:
        assert re.search(pattern, path)
        assert not TRIVY_CONDA_META.search(path)


def test_trivy_finds_the_sboms_in_the_registry() -> None:
    """The type of the artifact is used.

    Every component of the type library needs a purl. Otherwise trivy refuses the SBOM.
    """
    made = {one.media_type: json.loads(one.content) for one in documents(make())}
    assert tuple(made) == TRIVY_SBOM_TYPES
    cyclonedx, spdx = made.values()
    assert all(one["purl"] for one in (cyclonedx["metadata"]["component"], *cyclonedx["components"]))
    assert all(one["externalRefs"] for one in spdx["packages"])


def test_syft_reads_the_records(records: dict[str, Any]) -> None:
    """The glob is ``**/conda-meta/*.json``. The members have the expected types."""
    for path, record in records.items():
        assert re.fullmatch(r"(.*/)?conda-meta/[^/]*\.json", path)
        assert {"name", "version", "build", "url"} <= record.keys()
        for member, kind in SYFT_TYPES.items():
            assert member not in record or isinstance(record[member], kind), (path, member)
        for entry in record["paths_data"]["paths"]:
            assert isinstance(entry["_path"], str)
            assert isinstance(entry.get("size_in_bytes", 0), int)
