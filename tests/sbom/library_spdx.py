"""Writes SBOMs in SPDX 2.3 with the library spdx-tools, to compare them with ours."""

from __future__ import annotations

from datetime import datetime

from license_expression import get_spdx_licensing
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Annotation,
    AnnotationType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    ExtractedLicensingInfo,
    Package,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)

from jupyter_condabuild.oci.image import canonical_json
from jupyter_condabuild.sbom.bill import Bill, Component
from jupyter_condabuild.sbom.licensing import licensing
from jupyter_condabuild.sbom.purl import purl_of, purl_of_image
from jupyter_condabuild.sbom.spdx import DOCUMENT, ENVIRONMENT, IMAGE, NAMESPACE, identity_of


def spdx(bill: Bill) -> bytes:
    """Returns the SBOM of an image as the library writes it."""
    created = datetime.fromisoformat(bill.created).replace(tzinfo=None)  # the library wants UTC without a time zone
    tool = Actor(ActorType.TOOL, f"jupyter-condabuild-{bill.tool}")
    identities = {(component.manager, component.name): identity_of(component) for component in bill.components}
    references: dict[str, str] = {}
    root = _root(bill)
    packages, annotations = [root], []
    links = [Relationship(DOCUMENT, RelationshipType.DESCRIBES, root.spdx_id)]
    for component in bill.components:
        identity = identities[component.manager, component.name]
        found = licensing(component.license)
        references |= dict(found.references)
        packages.append(_package(component, identity, found.expression))
        links.append(Relationship(root.spdx_id, RelationshipType.CONTAINS, identity))
        links += [
            Relationship(identity, RelationshipType.DEPENDS_ON, identities["conda", name]) for name in component.depends
        ]
        for layer in component.layers:
            comments = (f"LayerDigest: {layer.digest}", f"LayerDiffID: {layer.diff_id}")
            annotations += [Annotation(identity, AnnotationType.OTHER, tool, created, comment) for comment in comments]
    document = Document(
        CreationInfo(
            "SPDX-2.3", DOCUMENT, "conda environment", f"{NAMESPACE}{bill.subject.replace(':', '-')}", [tool], created
        ),
        packages=packages,
        relationships=links,
        annotations=annotations,
        extracted_licensing_info=[ExtractedLicensingInfo(name, text) for name, text in sorted(references.items())],
    )
    return canonical_json(DocumentConverter().convert(document))


def _root(bill: Bill) -> Package:
    return Package(
        IMAGE if bill.is_image else ENVIRONMENT,
        "conda environment",
        SpdxNoAssertion(),
        version=bill.subject,
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, bill.subject.removeprefix("sha256:"))],
        external_references=[_purl(str(purl_of_image(bill.subject)))] if bill.is_image else [],
        primary_package_purpose=PackagePurpose.CONTAINER if bill.is_image else PackagePurpose.APPLICATION,
    )


def _package(component: Component, identity: str, expression: str) -> Package:
    hashes = [(ChecksumAlgorithm.SHA256, component.sha256), (ChecksumAlgorithm.MD5, component.md5)]
    return Package(
        identity,
        component.name,
        component.url or SpdxNoAssertion(),
        version=component.version,
        files_analyzed=False,
        checksums=[Checksum(algorithm, content) for algorithm, content in hashes if content],
        license_concluded=SpdxNoAssertion(),
        license_declared=get_spdx_licensing().parse(expression) if expression else SpdxNoAssertion(),
        external_references=[_purl(str(purl_of(component)))],
        primary_package_purpose=PackagePurpose.LIBRARY,
    )


def _purl(text: str) -> ExternalPackageRef:
    return ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", text)
