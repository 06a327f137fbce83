"""The rules for the names of images that a request names: those that are made, and those whose layers are trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference


def repositories_of(references: Iterable[str]) -> tuple[str, ...]:
    """Returns the repositories of images as `trusted_repositories` takes them. Raises BadReference or BadDigest."""
    parsed = map(Reference.parse, references)
    return tuple(f"{reference.registry}/{reference.repository}" for reference in parsed)


def refuse_digest(reference: Reference | None) -> None:
    """Raises UsageError if the name of an image that is to be made has a digest.

    The digest of the image is known only when the image is made, so the name would promise another image.
    """
    if reference and reference.digest:
        raise UsageError(
            f"The image name {reference} has a digest, but the digest is known only after the build.",
            f"Write it as {replace(reference, digest=None, tag=reference.tag or 'latest')}.",
        )


def refuse_bare(reference: Reference | None) -> None:
    """Raises UsageError if the name of an image that is to be pushed names no registry.

    To pull, such a name belongs to Docker Hub. Nothing is pushed to Docker Hub, where everybody may read it, unless the
    user has written its name.
    """
    if reference and reference.bare:
        name = str(reference).removeprefix("docker.io/").removeprefix("library/")
        raise UsageError(
            f"The image name {name} names no registry to push to.",
            f"Put the registry before it: registry.lab.org/{name}, or {reference} for Docker Hub. Or set the registry "
            "once: c.CondaBuild.registry, or CONDABUILD_REGISTRY.",
        )
