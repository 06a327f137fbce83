"""Images that tests put into the registry and remove again."""

from __future__ import annotations

import io

from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.registry import open_registry
from tests.parts.small_image import image, tar


def put_base(reference: str, content: bytes = b"1") -> None:
    """Puts a base image of a few bytes, whose layer has this content, into the registry."""
    name = Reference.parse(reference)
    base = image([tar({"etc/base": content})], Env=["PATH=/usr/bin"])
    with open_registry(name) as registry:
        repository = registry.repository(name.repository)
        for descriptor in base.manifest.layers:
            data = b"".join(base.read(descriptor))
            repository.push(descriptor, lambda data=data: io.BytesIO(data))  # type: ignore[misc]
        repository.push(base.manifest.config, lambda: io.BytesIO(base.config))
        repository.push_manifest(base.manifest, name.tag)


def remove(reference: str) -> None:
    """Removes the image."""
    name = Reference.parse(reference)
    with open_registry(name) as registry:
        repository = registry.repository(name.repository)
        found = repository.head(name.target)
        assert found
        repository.delete(found.digest)
