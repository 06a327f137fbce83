"""SBOMs are valid by the validators of their formats, equal for equal images, and contain no data of the machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.json.json_parser import parse_from_file
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.errors import BadSbom
from jupyter_condabuild.oci.image import Digest, canonical_json
from jupyter_condabuild.sbom.bill import Bill, Component, Holder
from jupyter_condabuild.sbom.documents import CYCLONEDX, SPDX, documents
from jupyter_condabuild.sbom.reader import Listed, licenses_from, packages_in
from tests.parts.bills import LAYERS, LICENSES, make
from tests.sbom import library_cyclonedx, library_spdx


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
    code = (
        "import sys; from jupyter_condabuild.sbom.documents import documents; from tests.parts.bills import make\n"
        "sys.stdout.buffer.write(b'\\n'.join(one.content for one in documents(make())))"
    )
    expected = documents(make())
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": "1"}, check=True
    )
    assert done.stdout.split(b"\n") == [one.content for one in expected]
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


def bills() -> Iterator[Bill]:
    """Yields bills of all kinds."""
    yield make()
    yield replace(make(), is_image=False)
    yield replace(make(), components=())
    plain = Component("conda", "a", "1.0", url="https://user.example/ch%20an/nel/noarch/a'[1].conda")
    yield replace(
        make(), components=(plain, replace(plain, manager="pip", version="0.9", url="", channel="https://x/y"))
    )
    names = (
        "MIT",
        "gpl-3.0",
        "MIT OR Zlib AND (X11)",
        "GPL 2.0+ with Classpath-exception-2.0",
        "LicenseRef-Own",
        "Größe",
    )
    licenses = [License(name, text) for name in names for text in ("", 'Ünicode \x7f "text"\n')]
    yield replace(
        make(),
        components=tuple(
            replace(plain, name=f"Ab_{number}", license=license, depends=("Ab_1", "Ab_0"), build="h_0", subdir="noarch")
            for number, license in reversed(list(enumerate([*licenses, License("", "text"), License()])))
        ),
    )
    both = (Holder("sha256:2", "sha256:4"), Holder("sha256:1", "sha256:3"))
    yield replace(make(), components=tuple(replace(one, layers=both) for one in make().components))


@pytest.mark.parametrize("bill", tuple(bills()), ids=("image", "environment", "empty", "urls", "licences", "layers"))
def test_the_libraries_write_the_same_bytes(bill: Bill) -> None:
    """Our documents are those that the libraries of the formats make from the same bill, and are valid."""
    ours = documents(bill)
    assert [one.content for one in ours] == [library_cyclonedx.cyclonedx(bill), library_spdx.spdx(bill)]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(ours[0].content.decode()) is None
    assert validate_full_spdx_document(JsonLikeDictParser().parse(json.loads(ours[1].content))) == []


def test_a_build_imports_no_library_of_a_format() -> None:
    """A build would wait for the imports: they take 0.3 s."""
    code = (
        "import json, sys; import jupyter_condabuild.engines.layers.build; from tests.parts.bills import make\n"
        "from jupyter_condabuild.sbom import documents, reader\n"
        "made = documents.documents(make())\n"
        "for one in made: reader.packages_in(one.media_type, one.content)\n"
        "reader.licenses_from(made[0].content, made[1].content)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    loaded = set(json.loads(done.stdout))
    assert "packageurl" in loaded
    assert not loaded & {"cyclonedx", "spdx_tools", "license_expression", "boolean", "lxml", "rdflib"}


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
    outside = make({**LICENSES, "numpy==9.0": License("MIT")})  # from the user's site-packages: no lock file lists it
    assert [one.version for one in outside.components if one.name == "numpy"] == ["2.1.0", "9.0"]
    assert make(licenses_from(*(document.content for document in documents(outside)))) == outside
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
