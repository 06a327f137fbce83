"""The load of an image into an engine: which layers the engine has already, and the body of the request.

Docker reads a layer of an archive only if it lacks the layer's chain, that is, the layer and all layers below it. So
the archive may leave out the lowest layers that an image of the engine has. This is true where a graphdriver keeps the
layers: Podman and the store of containerd read all files of an archive.

Source: moby's image/tarexport/load.go, and image-spec config.md "Layer ChainID".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.oci.archive import ArchiveFile, Progress, entries
from jupyter_condabuild.oci.archive_reader import blob_path
from jupyter_condabuild.oci.image import Image, ImageConfig, Reference

if TYPE_CHECKING:
    from docker import APIClient

_MOST_IMAGES = 40
"""The largest number of images of the engine that are compared with an image: each is one request."""


def layers_there(client: APIClient, image: Image, name: Reference | None) -> int:
    """Returns the number of layers of an image, from the lowest one up, that a Docker Engine need not get.

    The engine must keep layers in a graphdriver. Images of the same repository are compared first.

    Raises the errors of docker-py.
    """
    import docker

    wanted = [str(digest) for digest in ImageConfig.parse(image.config).diff_ids]
    repository = f"{name.registry}/{name.repository}:" if name else ""
    short = repository.removeprefix("docker.io/").removeprefix("library/")

    def is_other(listed: Mapping[str, Any]) -> bool:
        return not any(tag.startswith((repository, short)) for tag in listed["RepoTags"] or ())

    most = 0
    for listed in sorted(client.images(), key=is_other)[:_MOST_IMAGES]:
        try:
            found = client.inspect_image(listed["Id"])["RootFS"].get("Layers") or []
        except docker.errors.NotFound:  # somebody has removed the image
            continue
        most = max(most, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(wanted, found, strict=False))))
        if most == len(wanted):
            break
    return most


def has_graphdriver(info: Mapping[str, Any]) -> bool:
    """Whether a Docker Engine keeps layers in a graphdriver, from the answer of ``/info``."""
    return all(pair[0] != "driver-type" for pair in info.get("DriverStatus") or ())


def files_above(image: Image, lowest: int) -> list[ArchiveFile]:
    """Returns the files of an OCI archive of an image without its lowest layers, and without a name."""
    layers = image.manifest.layers
    kept = {image.manifest.config.digest, *(layer.digest for layer in layers[lowest:])}
    left_out = {blob_path(layer.digest) for layer in layers[:lowest] if layer.digest not in kept}
    return [file for file in entries(image, "", "oci-archive") if file.name not in left_out]


class Body:
    """The body of a load request.

    `error` keeps an exception that the source of the chunks raised. `Daemon.load` raises it instead of the engine's.
    """

    def __init__(self, chunks: Iterator[bytes], total: int, progress: Progress) -> None:
        self._chunks = chunks
        self._complete = 0
        self._total = total
        self._progress = progress
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                if chunk:  # an empty chunk would end the HTTP body
                    yield chunk
                self._complete += len(chunk)
                self._progress(self._complete, self._total)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
