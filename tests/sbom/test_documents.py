"""SBOMs are valid by the validators of their formats, equal for equal images, and contain no data of the machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from jupyter_condabuild.errors import BadSbom, SbomFailed
from jupyter_condabuild.oci.image import Digest, canonical_json
from jupyter_condabuild.sbom import documents as module
from jupyter_condabuild.sbom.bill import Bill
from jupyter_condabuild.sbom.documents import CYCLONEDX, SPDX, Writer, documents
from jupyter_condabuild.sbom.reader import Listed, licenses_from, packages_in
from tests.parts.bills import LAYERS, make


@pytest.fixture(scope="module")
def cyclonedx() -> dict[str, Any]:
    """The SBOM in CycloneDX."""
    value: dict[str, Any] = json.loads(documents(make())[0].content)
    return value


@pytest.fixture(scope="module")
def spdx() -> dict[str, Any]:
    """The SBOM in SPDX."""
    value: dict[str, Any] = json.loads(documents(make())[1].content)
    return value


def test_cyclonedx_is_valid() -> None:
    """The strict validator of its library accepts it."""
    [document, _] = documents(make())
    assert document.media_type == CYCLONEDX
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.content.decode()) is None
    assert json.loads(document.content)["specVersion"] == "1.6"


def test_spdx_is_valid(tmp_path: Path) -> None:
    """The validator of its library accepts it."""
    [_, document] = documents(make())
    assert document.media_type == SPDX
    file = tmp_path / "sbom.spdx.json"
    file.write_bytes(document.content)
    read = parse_from_file(str(file))
    assert validate_full_spdx_document(read) == []
    assert read.creation_info.spdx_version == "SPDX-2.3"


def test_each_package_is_a_component_with_a_purl(cyclonedx: dict[str, Any], spdx: dict[str, Any]) -> None:
    """Both formats have the same components.

    Those of conda have build, channel, subdir and type; those of pip are of PyPI.
    """
    expected = {
        "pkg:conda/numpy@2.1.0?build=py312_0&channel=conda-forge&subdir=linux-64&type=conda",
        "pkg:conda/python@3.12.1?build=h_0&channel=main&subdir=linux-64&type=tar.bz2",
        "pkg:conda/_libgcc_mutex@0.1?build=main&subdir=linux-64&type=conda",
        "pkg:pypi/torch@2.5.0%2Bcpu?repository_url=https://download.pytorch.org/whl",
        "pkg:pypi/mine@1.0?vcs_url=git%2Bhttps://github.com/me/mine%400123456",
    }
    assert {component["purl"] for component in cyclonedx["components"]} == expected
    found = {package["externalRefs"][0]["referenceLocator"] for package in spdx["packages"]}
    assert {purl for purl in found if not purl.startswith("pkg:oci/")} == expected
    assert all(PackageURL.from_string(purl).to_string() == purl for purl in expected)


def test_licences_are_expressions_or_references(cyclonedx: dict[str, Any], spdx: dict[str, Any]) -> None:
    """A LicenseRef has the text of the package's licence file, or the licence's name if there is no file."""
    by_name = {component["name"]: component.get("licenses") for component in cyclonedx["components"]}
    assert by_name["numpy"] == [{"expression": "BSD-3-Clause AND LicenseRef-Numpy"}]
    assert by_name["python"] == [{"license": {"id": "Python-2.0"}}]
    [words] = by_name["_libgcc_mutex"]
    assert words["license"]["name"] == "No licence, really!"
    assert "Do what you want." in words["license"]["text"]["content"]
    assert by_name["mine"] is None
    declared = {package["name"]: package.get("licenseDeclared") for package in spdx["packages"]}
    assert declared["numpy"] == "BSD-3-Clause AND LicenseRef-Numpy"
    assert declared["mine"] == "NOASSERTION"
    texts = {info["licenseId"]: info["extractedText"] for info in spdx["hasExtractedLicensingInfos"]}
    assert "Do what you want." in texts[declared["_libgcc_mutex"]]
    assert texts["LicenseRef-Numpy"] == "BSD-3-Clause AND LicenseRef-Numpy"


def test_hashes_and_layers_are_named(cyclonedx: dict[str, Any], spdx: dict[str, Any]) -> None:
    """A hidden layer has no packages. Packages of pip are in the layer of files without a conda package."""
    by_name = {component["name"]: component for component in cyclonedx["components"]}
    assert {one["alg"]: one["content"] for one in by_name["numpy"]["hashes"]} == {"SHA-256": "a" * 64, "MD5": "b" * 32}
    layers = {
        name: [one["value"] for one in component.get("properties", ()) if one["name"].endswith("LayerDigest")]
        for name, component in by_name.items()
    }
    assert layers["numpy"] == [str(LAYERS[2].digest)]
    assert layers["python"] == [str(LAYERS[3].digest)]
    assert layers["torch"] == layers["mine"] == [str(LAYERS[4].digest)]
    [numpy] = [package for package in spdx["packages"] if package["name"] == "numpy"]
    comments = {annotation["comment"] for annotation in numpy["annotations"]}
    assert f"LayerDigest: {LAYERS[2].digest}" in comments
    assert {one["checksumValue"] for one in numpy["checksums"]} == {"a" * 64, "b" * 32}


def test_dependencies_are_those_in_the_image(cyclonedx: dict[str, Any], spdx: dict[str, Any]) -> None:
    """A virtual package is not a dependency."""
    names = {component["bom-ref"]: component["name"] for component in cyclonedx["components"]}
    graph = {
        names.get(one["ref"]): {names[ref] for ref in one.get("dependsOn", ())} for one in cyclonedx["dependencies"]
    }
    assert graph["numpy"] == {"python", "_libgcc_mutex"}
    assert graph["python"] == set()
    names = {package["SPDXID"]: package["name"] for package in spdx["packages"]}
    links = {
        (names.get(one["spdxElementId"]), names[one["relatedSpdxElement"]])
        for one in spdx["relationships"]
        if one["relationshipType"] == "DEPENDS_ON"
    }
    assert links == {("numpy", "python"), ("numpy", "_libgcc_mutex")}


def test_the_same_image_has_the_same_bytes() -> None:
    """Processes with other hash seeds write the same.

    The date is the image's, and the serial number depends on its digest.
    """
    expected = documents(make())
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_condabuild.sbom"],
        input=make().to_json().encode(),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        check=True,
    )
    assert [one["content"].encode() for one in json.loads(done.stdout)] == [one.content for one in expected]
    value = json.loads(expected[0].content)
    assert value["metadata"]["timestamp"] == "2024-01-02T03:04:05+00:00"
    other = replace(make(), subject=str(Digest.of(b"other")))
    assert json.loads(documents(other)[0].content)["serialNumber"] != value["serialNumber"]


@pytest.mark.parametrize("created", ["", "yesterday", "2024-13-45T99:00:00Z", 7])
def test_an_image_without_a_date_has_the_date_of_its_files(created: object) -> None:
    """The date is not the day of the build."""
    assert make(created=created).created == "1980-01-01T00:00:00+00:00"


def test_an_sbom_contains_nothing_of_the_machine() -> None:
    """No credential of an index and no path of a local channel is in it."""
    for document in documents(make()):
        assert not re.search(rb"secret|token@|/home/me|file:", document.content)


def test_a_bill_is_transferred_unchanged_to_the_process() -> None:
    """Each field is the same."""
    assert Bill.parse(make().to_json()) == make()


def test_another_process_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries are not imported there at the start."""
    monkeypatch.setattr(module, "_FORMATS", ("not.imported",))
    writer = Writer()
    try:
        assert writer.write(make()) == documents(make())
    finally:
        writer.close()


def test_a_process_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has no traceback."""
    monkeypatch.setattr(module, "_FORMATS", ("not.imported",))
    writer = Writer()
    try:
        with pytest.raises(SbomFailed, match="process that writes SBOMs failed"):
            writer.write(replace(make(), created="never"))
    finally:
        writer.close()


@pytest.mark.parametrize("number", [0, 1])
def test_packages_are_read_from_both_formats(number: int) -> None:
    """The image itself is not a package."""
    document = documents(make())[number]
    found = packages_in(document.media_type, document.content)
    assert [(one.manager, one.name, one.version, one.build) for one in found] == [
        ("conda", "_libgcc_mutex", "0.1", "main"),
        ("conda", "numpy", "2.1.0", "py312_0"),
        ("conda", "python", "3.12.1", "h_0"),
        ("pip", "mine", "1.0", ""),
        ("pip", "torch", "2.5.0+cpu", ""),
    ]
    assert Listed("conda", "python", "3.12.1", "h_0", "Python-2.0") in found


def test_licences_are_read_unchanged() -> None:
    """So the SBOM of a rebased image is the same as after a build on the other base."""
    cyclonedx, spdx = documents(make())
    found = licenses_from(cyclonedx.content, spdx.content)
    assert make(licenses=found) == make()
    with pytest.raises(BadSbom):
        licenses_from(b"{}", b"[]")


@pytest.mark.parametrize("media_type", [CYCLONEDX, SPDX])
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"bomFormat": "other"}', b'{"spdxVersion": "SPDX-3.0"}'),
        b'{"bomFormat": "CycloneDX", "spdxVersion": "SPDX-2.3", "components": 7, "packages": 7}',
        b'{"bomFormat": "CycloneDX", "spdxVersion": "SPDX-2.3", "components": [7], "packages": [7]}',
        canonical_json(
            {
                "bomFormat": "CycloneDX",
                "components": [{"purl": "no purl"}],
                "spdxVersion": "SPDX-2.3",
                "packages": [{"externalRefs": [{"referenceType": "purl"}]}],
            }
        ),
    ],
)
def test_any_other_content_is_refused(media_type: str, content: bytes) -> None:
    """A registry can send any document."""
    with pytest.raises(BadSbom):
        packages_in(media_type, content)
