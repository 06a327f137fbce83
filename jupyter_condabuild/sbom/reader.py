"""Reads the packages in an SBOM of any program, in CycloneDX or SPDX, by their purls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from packageurl import PackageURL

from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.errors import BadSbom
from jupyter_condabuild.sbom.documents import CYCLONEDX
from jupyter_condabuild.sbom.licensing import references_in

LARGEST = 64 << 20
"""The size in bytes of the largest SBOM that is read."""

_TYPES = {"conda": "conda", "pypi": "pip"}
"""The types of purls that are read, and the programs that install such packages."""


@dataclass(frozen=True, order=True)
class Listed:
    """A package that an SBOM names. `license` is the expression or the name of its licence, or empty."""

    manager: str
    name: str
    version: str
    build: str = ""
    license: str = ""


def packages_in(media_type: str, content: bytes) -> tuple[Listed, ...]:
    """Returns the conda and pip packages of an SBOM, sorted. Raises BadSbom if the content is no SBOM."""
    found = set()
    try:
        value = json.loads(content)
        pairs = _cyclonedx(value) if media_type == CYCLONEDX else _spdx(value)
        for text, license in pairs:
            purl = PackageURL.from_string(text)
            if manager := _TYPES.get(purl.type):
                qualifiers: Any = purl.qualifiers
                found.add(Listed(manager, purl.name, purl.version or "", qualifiers.get("build", ""), license))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadSbom("The artifact is not an SBOM in JSON.") from None
    return tuple(sorted(found))


def _cyclonedx(value: Any) -> Iterator[tuple[str, str]]:
    if value["bomFormat"] != "CycloneDX":
        raise ValueError("no CycloneDX")
    for component in value.get("components") or ():
        if purl := component.get("purl"):
            yield str(purl), _license(component.get("licenses") or [])


def licenses_from(cyclonedx: bytes, spdx: bytes) -> dict[str, License]:
    """Returns the licences in the two SBOMs of an image of ours, as `bill_of` takes them. Raises BadSbom."""
    found = {}
    try:
        infos = json.loads(spdx).get("hasExtractedLicensingInfos") or ()
        texts = {str(info["licenseId"]): str(info["extractedText"]) for info in infos}
        for component in json.loads(cyclonedx)["components"]:
            purl = PackageURL.from_string(component["purl"])
            qualifiers: Any = purl.qualifiers
            conda = f"{purl.name}-{purl.version}-{qualifiers.get('build', '')}"
            dist = conda if purl.type == "conda" else f"{purl.name}=={purl.version}"
            choices = component.get("licenses") or []
            name = _license(choices)
            text = next((one["license"]["text"]["content"] for one in choices if "text" in one.get("license", {})), "")
            text = text or next((texts.get(key, "") for key in references_in(name)), "")
            found[dist] = License(name, "" if text == name else str(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadSbom("The artifact is not an SBOM of jupyter-condabuild.") from None
    return found


def _license(choices: list[dict[str, Any]]) -> str:
    names = []
    for choice in choices:
        one = choice.get("license") or {}
        names.append(str(choice.get("expression") or one.get("id") or one.get("name") or ""))
    return " AND ".join(filter(None, names))


def _spdx(value: Any) -> Iterator[tuple[str, str]]:
    if not str(value["spdxVersion"]).startswith("SPDX-2."):
        raise ValueError("no SPDX 2")
    for package in value.get("packages") or ():
        license = str(package.get("licenseDeclared", ""))
        for reference in package.get("externalRefs") or ():
            if reference["referenceType"] == "purl":
                yield str(reference["referenceLocator"]), "" if license in ("NOASSERTION", "NONE") else license
