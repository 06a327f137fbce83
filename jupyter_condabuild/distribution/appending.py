"""Adds images to the index of a tag while other machines add theirs, and loses none of them.

A registry writes a tag without comparing. If two machines read a tag, each adds an image and each writes the result,
then the later write removes the image of the earlier one. So each machine first writes a note under a tag of its own
(`oci.names.note_tag`): an index with the one image that it adds. The note is open until the machine has seen its image
under the tag. After each write, a machine reads the notes again. It adds the images of all notes that are open, or that
have changed since it began: their machines may have read the tag before this write. The machine that writes last
therefore sees the notes of all others, and its index has all images.

The notes need a registry that shows a write to the next reader, as the distribution-spec implies. Of two machines that
add an image for the same platform at the same time, one wins.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from jupyter_condabuild.errors import BadImage, RegistryFault, RegistryNotFound, UsageError
from jupyter_condabuild.image.platforms import PLATFORMS
from jupyter_condabuild.oci.documents import read_document
from jupyter_condabuild.oci.image import Descriptor, Digest, ImageConfig, Manifest
from jupyter_condabuild.oci.index import Index, entry_of, platform_of
from jupyter_condabuild.oci.names import note_tag
from jupyter_condabuild.oci.repository import Repository

ATTEMPTS = 12
"""The number of times that a tag is written, if other machines write it in between."""

_STATE = "org.jupyter.condabuild.append.state"
_ID = "org.jupyter.condabuild.append.id"
_OPEN, _DONE = "open", "done"


@dataclass(frozen=True)
class _Note:
    """The note of one platform: the digest of the document, the image that is added, and whether the note is open."""

    digest: Digest
    image: Descriptor
    is_open: bool


def append(repository: Repository, tag: str, images: Sequence[Descriptor]) -> Manifest | Index:
    """Adds images to a tag, and returns what the tag then has: an index, or an image if it is the only one.

    The repository has the manifests of the images already. The images that the tag has for other platforms stay.

    Args:
        images: the images, as `oci.index.entry_of` returns them.

    Raises RegistryFault if other machines write the tag again and again, BadImage if the tag has no image but another
    artifact, BadReference if the tag is too long, UsageError if another tag has the name of a note, RegistryError.
    """
    own = {platform_of(image)[1]: image for image in images}
    before = _notes(repository, tag, own)
    written = {processor: _write(repository, tag, image, _OPEN) for processor, image in own.items()}
    document = _extended(repository, tag, own, before)
    for processor, note in _notes(repository, tag, own).items():
        if note.digest == written.get(processor):
            _write(repository, tag, note.image, _DONE)
    return document


def _extended(
    repository: Repository, tag: str, own: Mapping[str, Descriptor], before: Mapping[str, _Note]
) -> Manifest | Index:
    for attempt in range(ATTEMPTS):
        if attempt > 1:  # the second attempt only reads, unless another machine was faster
            time.sleep(0.05 * 2 ** min(attempt, 5))
        noted = {
            processor: note.image
            for processor, note in _notes(repository, tag, own).items()
            if note.is_open or processor not in before or before[processor].digest != note.digest
        }
        wanted = list({**noted, **own}.values())
        current = _current(repository, tag)
        if current and _has(current, wanted):
            return current
        repository.push_manifest(_document(repository, wanted, current), tag)
    raise RegistryFault(
        f"Other machines write {repository.host}/{repository.name}:{tag} again and again.",
        "Run the command again when the others are done.",
    )


def _document(
    repository: Repository, wanted: Sequence[Descriptor], current: Manifest | Index | None
) -> Manifest | Index:
    """Returns what the tag should have. An image that is alone needs no index."""
    if isinstance(current, Manifest):
        current = Index.make([_entry(repository, current)])
    index = Index.make(wanted, current)
    if len(index.manifests) > 1:
        return index
    return repository.manifest(str(index.manifests[0].digest))


def _entry(repository: Repository, image: Manifest) -> Descriptor:
    try:
        return entry_of(image, ImageConfig.parse(read_document(repository, image.config)))
    except BadImage:
        raise BadImage(
            f"{repository.host}/{repository.name} has something else than an image under this tag.",
            "Choose another tag.",
        ) from None


def _has(current: Manifest | Index, wanted: Collection[Descriptor]) -> bool:
    there = current.manifests if isinstance(current, Index) else (current.descriptor,)
    return {image.digest for image in wanted} <= {image.digest for image in there}


def _current(repository: Repository, tag: str) -> Manifest | Index | None:
    try:
        return repository.manifest(tag)
    except RegistryNotFound:
        return None


def _notes(repository: Repository, tag: str, own: Collection[str]) -> dict[str, _Note]:
    """Returns the notes by the processor of their image. Raises UsageError if a tag has the name of a note."""
    found = {}
    for processor in sorted({*PLATFORMS.values(), *own}):
        name = note_tag(tag, processor)
        try:
            document = repository.manifest(name)
        except RegistryNotFound:
            continue
        entries = document.manifests if isinstance(document, Index) else ()
        if [platform_of(one)[1] for one in entries if _STATE in one.annotations] != [processor]:
            raise UsageError(
                f"The tag {name} of {repository.host}/{repository.name} has something else than a note of "
                "--append-platform.",
                "Give the image another tag.",
            )
        annotations = dict(entries[0].annotations)
        is_open = annotations.pop(_STATE) == _OPEN
        annotations.pop(_ID, None)
        image = replace(entries[0], annotations=annotations)
        found[processor] = _Note(document.descriptor.digest, image, is_open)
    return found


def _write(repository: Repository, tag: str, image: Descriptor, state: str) -> Digest:
    note = Index.make([replace(image, annotations={**image.annotations, _STATE: state, _ID: uuid.uuid4().hex})])
    return repository.push_manifest(note, note_tag(tag, platform_of(image)[1])).digest
