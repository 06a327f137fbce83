"""A SIF in a registry: an artifact with one blob, as ``apptainer push`` makes it and ``apptainer pull`` reads it.

Source: github.com/apptainer/apptainer, internal/pkg/client/oras, image.go and layer.go.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path

from jupyter_condabuild.errors import from_os_error
from jupyter_condabuild.oci.image import Descriptor, Digest, Manifest
from jupyter_condabuild.oci.referrers import EMPTY
from jupyter_condabuild.oci.repository import Repository

CONFIG_TYPE = "application/vnd.sylabs.sif.config.v1+json"
SIF_TYPE = "application/vnd.sylabs.sif.layer.v1.sif"
TITLE = "org.opencontainers.image.title"
"""The annotation with the name of the file."""


def push(
    file: Path, title: str, repository: Repository, tag: str, progress: Callable[[int, int], None] = lambda *_: None
) -> Manifest:
    """Pushes a SIF under a tag. The same SIF and title give the same manifest.

    Args:
        title: the name that clients give to the file.
        progress: called with the number of bytes that were sent so far, and their total number.

    Raises RegistryError, and StoreError if the file cannot be read.
    """
    try:
        with file.open("rb") as opened:
            digest = Digest(file_digest(opened, "sha256").hexdigest())
            size = file.stat().st_size
    except OSError as error:
        raise from_os_error(error, "reading the SIF", file, hint="Make the file readable.") from None
    config = Descriptor(CONFIG_TYPE, Digest.of(EMPTY), len(EMPTY))
    blob = Descriptor(SIF_TYPE, digest, size, {TITLE: title})
    sent = 0

    def moved(count: int) -> None:
        nonlocal sent
        sent += count
        progress(sent, size)

    repository.push(config, lambda: io.BytesIO(EMPTY))
    repository.push(blob, lambda: file.open("rb"), progress=moved)
    manifest = Manifest.make(config, [blob])
    repository.push_manifest(manifest, tag)
    return manifest
