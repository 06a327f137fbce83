"""Warnings of the registry that an image goes to: who can reach it, and who can read what goes there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jupyter_condabuild.conda.channels import is_local
from jupyter_condabuild.events import Warning
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.text import counted, listed

PUBLIC_REGISTRIES = frozenset(("docker.io", "ghcr.io", "quay.io", "public.ecr.aws", "registry.gitlab.com"))
"""Registries whose repositories everybody can read, unless they are made private."""


def destination_warnings(destination: Reference | None, private: Sequence[str]) -> Iterator[Warning]:
    """Yields the warnings of an image's name in a registry; none if the image does not go to a registry.

    Args:
        private: the dists of the packages that are fetched with a login.
    """
    if destination is None:
        return
    registry = destination.registry
    if is_local(f"https://{registry}/"):
        yield Warning(
            "local-name",
            f"Others cannot reach {registry}: the name {destination} is one on this machine.",
            "Give the image the name of a registry that others can reach, or save it as an archive.",
        )
    if not private:
        return
    names = f"{counted(private, 'package')} from channels that need a login: {listed(private)}."
    if registry in PUBLIC_REGISTRIES:
        yield Warning(
            "private-packages-made-public",
            f"The image goes to {registry}, where everybody can read public repositories, and it contains {names}",
            "Stop, unless the repository is private, or everybody may have these packages.",
        )
    else:
        yield Warning(
            "private-packages",
            f"The image contains {names}",
            "Everyone who can read the repository gets these packages.",
        )
