"""The files of an environment or an image that no package brings, with their contents, to compare them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jupyter_condabuild.conda.package_cache import hash_file
from jupyter_condabuild.engines.layers.upper_layers import overlay_of
from jupyter_condabuild.errors import BadImage, LockfileError
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.image.layers import hidden_in
from jupyter_condabuild.image.paths import PIP_LIST, PREFIX_IN_LAYER, in_layer
from jupyter_condabuild.image.programs import PROGRAMS
from jupyter_condabuild.oci.image import LAYER_KEY, BlobSource, Descriptor, Image, ImageConfig
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.oci.layer_reader import entries
from jupyter_condabuild.planning.inputs import read_inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import size_text

_CHUNK = 1 << 20
_MOST_BYTES = 1 << 60
_WHITEOUT = ".wh."


class Content(NamedTuple):
    """The content of a path: its size in bytes and its hash, the target of a link, or that a file is deleted."""

    size: int = 0
    sha256: str = ""
    target: str = ""
    deleted: bool = False

    def __str__(self) -> str:
        if self.deleted:
            return "deleted"
        return f"a link to {self.target}" if self.target else size_text(self.size)


Contents = Mapping[str, Content]
"""Contents by path. A path in the environment is relative to it; another path is absolute, as the image has it."""


def of_prefix(prefix: Path, request: PlanRequest, job: JobContext) -> Contents:
    """Returns the files of an environment that an image would have. Raises the errors of `read_inputs`."""
    quiet = replace(job, report=lambda event: None)
    wanted = replace(request, prefix=prefix, bytecode=False, overlay_max_bytes=_MOST_BYTES)
    inputs = read_inputs(wanted, quiet)
    overlay = overlay_of(wanted, inputs, dict(inputs.unlockable), quiet)
    return dict(_of_entries(overlay.entries if overlay else ()))


def of_image(image: Image, job: JobContext) -> Contents | None:
    """Returns the files of an image of the layers engine; None for an image of another engine.

    Raises RegistryError, BadImage, ContentMismatch.
    """
    config = ImageConfig.parse(image.config)
    try:
        own = Ours.read(config).layers(image.manifest, config)
    except (BadImage, LockfileError):
        return None
    hidden = hidden_in(image.manifest)
    contents: dict[str, Content] = {}
    for descriptor, _, _ in own:
        if LAYER_KEY not in descriptor.annotations and descriptor.digest not in hidden:
            if not job.store.has(descriptor) and image.sources.get(descriptor.digest) is job.store:
                return None  # the layer was pruned
            source: BlobSource = job.store if job.store.has(descriptor) else image
            contents |= _of_layer(source, descriptor)
    return contents


def _of_entries(found: Iterable[Entry]) -> Iterator[tuple[str, Content]]:
    for entry in found:
        if entry.kind == "directory" or _is_made(entry.path):
            continue
        if entry.kind == "whiteout":
            content = Content(deleted=True)
        elif entry.kind == "symlink":
            content = Content(target=entry.target)
        elif entry.source:
            content = Content(Path(entry.source).stat().st_size, hash_file(Path(entry.source)))
        else:
            content = Content(len(entry.data), hashlib.sha256(entry.data).hexdigest())
        yield _shown(entry.path), content


def _of_layer(source: BlobSource, layer: Descriptor) -> dict[str, Content]:
    contents: dict[str, Content] = {}
    for member, file in entries(source, layer):
        path = member.name.removeprefix("./")
        if member.isdir() or _is_made(path):
            continue
        folder, name = posixpath.split(path)
        if name.startswith(_WHITEOUT):
            contents[_shown(posixpath.join(folder, name.removeprefix(_WHITEOUT)))] = Content(deleted=True)
        elif file is None:
            contents[_shown(path)] = Content(target=member.linkname)
        else:
            hasher = hashlib.sha256()
            while piece := file.read(_CHUNK):
                hasher.update(piece)
            contents[_shown(path)] = Content(member.size, hasher.hexdigest())
    # The layer with our programs has no annotation either.
    return {} if in_layer(next(iter(PROGRAMS))) in {path.removeprefix("/") for path in contents} else contents


def _is_made(path: str) -> bool:
    """Whether a build makes a path from others: bytecode, records, and the list of pip's packages."""
    return path.endswith(".pyc") or path.startswith(f"{PREFIX_IN_LAYER}/conda-meta/") or path == in_layer(PIP_LIST)


def _shown(path: str) -> str:
    root = f"{PREFIX_IN_LAYER}/"
    return path.removeprefix(root) if path.startswith(root) else f"/{path}"
