"""Reads what a name has in the registry of the tests."""

from __future__ import annotations

from jupyter_condabuild.oci.image import Manifest
from jupyter_condabuild.oci.index import Index
from tests.parts.registry.pushing import connect


def document(reference: str) -> Manifest | Index:
    """Returns what a tag or digest has in the registry."""
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.partition("@") if "@" in rest else rest.partition(":")
    with connect(host) as registry:
        return registry.repository(repository).manifest(tag)
