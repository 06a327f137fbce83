"""Whether an image that was built once is still what a new build of the same environment would bring."""

from __future__ import annotations

from contextlib import ExitStack

from jupyter_condabuild.build.request import BuildRequest
from jupyter_condabuild.errors import BadReference
from jupyter_condabuild.oci.image import ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.registry import open_registry

BASE_DIGEST = "org.opencontainers.image.base.digest"


def stands(request: BuildRequest, digest: str) -> bool:
    """Whether the image's name still means this manifest, and the base's name the base below it.

    False for an image that went elsewhere than to a registry. Raises RegistryError, ImageError.
    """
    if not request.push or request.load or request.archive:
        return False
    reference = Reference.parse(request.reference)
    with ExitStack() as stack:
        registry = stack.enter_context(open_registry(reference, request.insecure_registries))
        repository = registry.repository(reference.repository)
        found = repository.head(reference.target)
        if found is None or str(found.digest) != digest:
            return False
        manifest = repository.manifest(digest)
        if not isinstance(manifest, Manifest):
            return False
        config = ImageConfig.parse(b"".join(repository.read(manifest.config)))
        base = (config.runtime.get("Labels") or {}).get(BASE_DIGEST, "")
        return _base_stands(request, base, stack)


def _base_stands(request: BuildRequest, digest: str, stack: ExitStack) -> bool:
    try:
        reference = Reference.parse(request.base)
    except BadReference:  # an archive, or an image of the engine's
        return False
    registry = stack.enter_context(open_registry(reference, request.insecure_registries))
    found = registry.repository(reference.repository).manifest(reference.target)
    members = [found.descriptor.digest] if isinstance(found, Manifest) else [one.digest for one in found.manifests]
    return digest in {str(member) for member in members}
