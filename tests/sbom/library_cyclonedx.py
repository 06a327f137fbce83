"""Writes SBOMs in CycloneDX 1.6 with the library cyclonedx, to compare them with ours."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from cyclonedx.model import (
    AttachedText,
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component as CdxComponent
from cyclonedx.model.component import ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import fixup_id

from jupyter_condabuild.sbom.bill import Bill, Component
from jupyter_condabuild.sbom.licensing import licensing
from jupyter_condabuild.sbom.purl import purl_of, purl_of_image


def cyclonedx(bill: Bill) -> bytes:
    """Returns the SBOM of an image as the library writes it."""
    root = CdxComponent(
        type=ComponentType.CONTAINER if bill.is_image else ComponentType.APPLICATION,
        name="conda environment",
        version=bill.subject,
        bom_ref=bill.subject,
        purl=purl_of_image(bill.subject) if bill.is_image else None,
    )
    tool = CdxComponent(type=ComponentType.APPLICATION, name="jupyter-condabuild", version=bill.tool, bom_ref="tool")
    made = {(component.manager, component.name): _component(component) for component in bill.components}
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"cyclonedx:{bill.subject}"),
        metadata=BomMetaData(
            timestamp=datetime.fromisoformat(bill.created), tools=ToolRepository(components=[tool]), component=root
        ),
        components=made.values(),
        # Not Bom.register_dependency, which searches all dependencies at each call.
        dependencies=[
            _dependency(root, made.values()),
            *(
                _dependency(made[one.manager, one.name], [made["conda", name] for name in one.depends])
                for one in bill.components
            ),
        ],
    )
    return JsonV1Dot6(bom).output_as_string().encode()


def _dependency(component: CdxComponent, needed: Iterable[CdxComponent]) -> Dependency:
    return Dependency(component.bom_ref, dependencies=[Dependency(one.bom_ref) for one in needed])


def _component(component: Component) -> CdxComponent:
    purl = purl_of(component)
    references = []
    if component.url:
        references.append(ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(component.url)))
    hashes = [(HashAlgorithm.SHA_256, component.sha256), (HashAlgorithm.MD5, component.md5)]
    properties = []
    for layer in component.layers:
        properties.append(Property(name="aquasecurity:trivy:LayerDigest", value=layer.digest))
        properties.append(Property(name="aquasecurity:trivy:LayerDiffID", value=layer.diff_id))
    return CdxComponent(
        type=ComponentType.LIBRARY,
        name=component.name,
        version=component.version,
        bom_ref=str(purl),
        purl=purl,
        licenses=_licenses(component),
        hashes=[HashType(alg=algorithm, content=content) for algorithm, content in hashes if content],
        external_references=references,
        properties=properties,
    )


def _licenses(component: Component) -> list[DisjunctiveLicense | LicenseExpression]:
    found = licensing(component.license)
    if not found.expression:
        return []
    if found.is_id and (identifier := fixup_id(found.expression)):
        return [DisjunctiveLicense(id=identifier)]
    if [found.expression] == [reference for reference, _ in found.references]:
        text = AttachedText(content=component.license.text) if component.license.text else None
        return [DisjunctiveLicense(name=component.license.name or found.expression, text=text)]
    return [LicenseExpression(found.expression)]
