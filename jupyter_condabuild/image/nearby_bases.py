"""Where a base image is when its registry does not answer: in the registry of the lab, or in a container engine."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.oci.retry import Patience

_ONCE = Patience(attempts=1, answer=4.0)
_ENGINE_SECONDS = 2.0

WITHOUT = (
    "On a machine that reaches the registry, run 'skopeo copy docker://{0} oci-archive:base.tar' or 'docker save {0} "
    "--output base.tar'. Then name the file as the base: oci-archive:base.tar, or docker-archive:base.tar."
)
"""What to do if the base is nowhere near. `{0}` is the name of the base."""


def nearby(
    base: Reference,
    registry: str,
    insecure: Collection[str] = (),
    allowed: Collection[str] = (),
    docker_host: str | None = None,
) -> tuple[str, ...]:
    """Returns the names under which an image of the same name can be used, the best first; none if none is found.

    Nobody says that such an image has the same content: the user decides.

    Args:
        base: the base whose registry does not answer.
        registry: the registry of the images, and the path in it; empty if there is none.
    """
    return (*_in_registry(base, registry, insecure, allowed), *_in_engine(base, docker_host))


def _in_registry(base: Reference, registry: str, insecure: Collection[str], allowed: Collection[str]) -> Iterator[str]:
    host, _, path = registry.strip("/").partition("/")
    if not host or host == base.registry:
        return
    short = base.repository.removeprefix("library/")
    own = f"{path}/" if path else ""
    # As in mirrors that copy Docker Hub's names, in a flat mirror, and in the folder of the lab's own images.
    repositories = dict.fromkeys((base.repository, short, own + short, own + short.rpartition("/")[2]))
    with (
        suppress(CondaBuildError),
        open_registry(Reference(host, base.repository), insecure, patience=_ONCE, allowed=allowed) as opened,
    ):
        for repository in repositories:
            with suppress(CondaBuildError):
                if opened.repository(repository).head(base.target):
                    yield str(Reference(host, repository, base.tag, base.digest))


def _in_engine(base: Reference, docker_host: str | None) -> Iterator[str]:
    names = [str(base)]
    if base.registry == "docker.io":
        names.insert(0, str(base).removeprefix("docker.io/").removeprefix("library/"))
    with suppress(CondaBuildError), Daemon.connect(docker_host or None, _ENGINE_SECONDS) as daemon:
        for name in names:
            if daemon.image_id(name):
                yield str(ImageLocation("docker-daemon", name))
                return
