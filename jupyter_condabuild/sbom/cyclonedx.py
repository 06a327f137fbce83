"""Writes an SBOM as CycloneDX 1.6 JSON.

The library cyclonedx takes 0.2 s to import, which each build would wait for. The tests compare with it: the bytes are
those of the library.

Source: cyclonedx.org/docs/1.6/json. The properties ``aquasecurity:trivy:…`` are those that trivy reads in an SBOM to
show the layer of a package (trivy, pkg/sbom/io/decode.go).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from jupyter_condabuild.sbom.bill import Bill, Component
from jupyter_condabuild.sbom.licensing import licensing
from jupyter_condabuild.sbom.purl import purl_of, purl_of_image

_UNSAFE = str.maketrans({character: f"%{ord(character):02X}" for character in " \"'[]<>{}"})
"""The characters that a URL in JSON must not have (JSON Schema, iri-reference), and their escapes."""


def cyclonedx(bill: Bill) -> bytes:
    """Returns the SBOM of an image. The same bill gives the same bytes."""
    purls = {(component.manager, component.name): str(purl_of(component)) for component in bill.components}
    made = [_component(component, purls[component.manager, component.name]) for component in bill.components]
    dependencies = [
        _dependency(bill.subject, purls.values()),
        *(
            _dependency(purls[one.manager, one.name], [purls["conda", name] for name in one.depends])
            for one in bill.components
        ),
    ]
    root = {
        "bom-ref": bill.subject,
        "name": "conda environment",
        **({"purl": str(purl_of_image(bill.subject))} if bill.is_image else {}),
        "type": "container" if bill.is_image else "application",
        "version": bill.subject,
    }
    tool = {"bom-ref": "tool", "name": "jupyter-condabuild", "type": "application", "version": bill.tool}
    value = {
        "components": sorted(made, key=lambda one: (one["name"], one["version"], one["bom-ref"])),
        "dependencies": sorted(dependencies, key=lambda one: one["ref"]),
        "metadata": {"component": root, "timestamp": bill.created, "tools": {"components": [tool]}},
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, f"cyclonedx:{bill.subject}").urn,
        "version": 1,
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
    }
    return json.dumps({name: content for name, content in value.items() if content}).encode()


def _dependency(reference: str, needed: Iterable[str]) -> dict[str, Any]:
    names = sorted(needed)
    return {"dependsOn": names, "ref": reference} if names else {"ref": reference}


def _component(component: Component, purl: str) -> dict[str, Any]:
    url = component.url.translate(_UNSAFE)
    hashes = {"MD5": component.md5, "SHA-256": component.sha256}
    properties = {
        *(("aquasecurity:trivy:LayerDiffID", layer.diff_id) for layer in component.layers),
        *(("aquasecurity:trivy:LayerDigest", layer.digest) for layer in component.layers),
    }
    value = {
        "bom-ref": purl,
        "externalReferences": [{"type": "distribution", "url": url}] if url else [],
        "hashes": [{"alg": algorithm, "content": content} for algorithm, content in hashes.items() if content],
        "licenses": _licenses(component),
        "name": component.name,
        "properties": [{"name": name, "value": content} for name, content in sorted(properties)],
        "purl": purl,
        "type": "library",
    }
    return {**{name: content for name, content in value.items() if content}, "version": component.version}


def _licenses(component: Component) -> list[dict[str, Any]]:
    found = licensing(component.license)
    if not found.expression:
        return []
    if found.is_id:
        return [{"license": {"id": found.expression}}]
    if [found.expression] == [reference for reference, _ in found.references]:
        text = component.license.text
        attached = {"text": {"content": text, "contentType": "text/plain"}} if text else {}
        return [{"license": {"name": component.license.name or found.expression, **attached}}]
    return [{"expression": found.expression}]
