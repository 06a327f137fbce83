"""Writes an SBOM as SPDX 2.3 JSON.

The library spdx-tools takes 0.2 s to import, which each build would wait for. The tests compare with it: the bytes are
those of the library.

Source: spdx.github.io/spdx-spec/v2.3. The annotations ``LayerDigest: …`` and ``LayerDiffID: …`` are those that trivy
reads in an SBOM to show the layer of a package (trivy, pkg/sbom/spdx/unmarshal.go).
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any

from jupyter_condabuild.oci.image import canonical_json
from jupyter_condabuild.sbom.bill import Bill, Component
from jupyter_condabuild.sbom.licensing import licensing
from jupyter_condabuild.sbom.purl import purl_of, purl_of_image

DOCUMENT = "SPDXRef-DOCUMENT"
IMAGE, ENVIRONMENT = "SPDXRef-ContainerImage", "SPDXRef-Application"
NAMESPACE = "https://pypi.org/project/jupyter-condabuild/spdx/"

_UNKNOWN = "NOASSERTION"


def spdx(bill: Bill) -> bytes:
    """Returns the SBOM of an image. The same bill gives the same bytes."""
    created = f"{datetime.fromisoformat(bill.created).replace(tzinfo=None).isoformat()}Z"
    tool = f"Tool: jupyter-condabuild-{bill.tool}"
    identities = {(component.manager, component.name): identity_of(component) for component in bill.components}
    references: dict[str, str] = {}
    root = _root(bill)
    packages = [root]
    links = [_relationship(DOCUMENT, "DESCRIBES", root["SPDXID"])]
    for component in bill.components:
        identity = identities[component.manager, component.name]
        found = licensing(component.license)
        references |= dict(found.references)
        comments = [
            comment
            for layer in component.layers
            for comment in (f"LayerDigest: {layer.digest}", f"LayerDiffID: {layer.diff_id}")
        ]
        annotations = [
            {"annotationDate": created, "annotationType": "OTHER", "annotator": tool, "comment": comment}
            for comment in comments
        ]
        packages.append(_package(component, identity, found.expression, annotations))
        links.append(_relationship(root["SPDXID"], "CONTAINS", identity))
        links += [_relationship(identity, "DEPENDS_ON", identities["conda", name]) for name in component.depends]
    value = {
        "SPDXID": DOCUMENT,
        "creationInfo": {"created": created, "creators": [tool]},
        "dataLicense": "CC0-1.0",
        "documentNamespace": f"{NAMESPACE}{bill.subject.replace(':', '-')}",
        "hasExtractedLicensingInfos": [
            {"extractedText": text, "licenseId": name} for name, text in sorted(references.items())
        ],
        "name": "conda environment",
        "packages": packages,
        "relationships": links,
        "spdxVersion": "SPDX-2.3",
    }
    return canonical_json(_present(value))


def _present(value: dict[str, Any]) -> dict[str, Any]:
    """Returns an object without its empty lists."""
    return {name: content for name, content in value.items() if content != []}


def _relationship(element: str, kind: str, related: str) -> dict[str, str]:
    return {"relatedSpdxElement": related, "relationshipType": kind, "spdxElementId": element}


def _root(bill: Bill) -> dict[str, Any]:
    return _present(
        {
            "SPDXID": IMAGE if bill.is_image else ENVIRONMENT,
            "checksums": [{"algorithm": "SHA256", "checksumValue": bill.subject.removeprefix("sha256:")}],
            "downloadLocation": _UNKNOWN,
            "externalRefs": _purl(str(purl_of_image(bill.subject))) if bill.is_image else [],
            "filesAnalyzed": False,
            "name": "conda environment",
            "primaryPackagePurpose": "CONTAINER" if bill.is_image else "APPLICATION",
            "versionInfo": bill.subject,
        }
    )


def _package(component: Component, identity: str, expression: str, annotations: list[dict[str, str]]) -> dict[str, Any]:
    hashes = {"SHA256": component.sha256, "MD5": component.md5}
    return _present(
        {
            "SPDXID": identity,
            "annotations": annotations,
            "checksums": [
                {"algorithm": algorithm, "checksumValue": content} for algorithm, content in hashes.items() if content
            ],
            "downloadLocation": component.url or _UNKNOWN,
            "externalRefs": _purl(str(purl_of(component))),
            "filesAnalyzed": False,
            "licenseConcluded": _UNKNOWN,
            "licenseDeclared": expression or _UNKNOWN,
            "name": component.name,
            "primaryPackagePurpose": "LIBRARY",
            "versionInfo": component.version,
        }
    )


def _purl(text: str) -> list[dict[str, str]]:
    return [{"referenceCategory": "PACKAGE_MANAGER", "referenceLocator": text, "referenceType": "purl"}]


def identity_of(component: Component) -> str:
    """Returns the identifier of a package in the document: readable, and unique."""
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", component.name)
    mark = hashlib.sha256(f"{component.manager} {component.name}".encode()).hexdigest()[:8]
    return f"SPDXRef-Package-{component.manager}-{readable}-{mark}"
