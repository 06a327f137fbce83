"""The names of repositories, and the tags and digests of manifests, checked before they become parts of a URL."""

from __future__ import annotations

import re

from jupyter_condabuild.errors import BadReference, UsageError
from jupyter_condabuild.oci.image import Digest

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NOTE = ".append-"
_NOTES = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.append-[a-z0-9]+")
_NAME = re.compile(r"[a-z0-9._/-]{1,255}")


def checked_name(name: str) -> str:
    """Returns the name of a repository unchanged. Raises UsageError if the text is not such a name."""
    if not _NAME.fullmatch(name) or {"", ".", ".."} & set(name.split("/")):
        raise UsageError(f"{name[:300]!r} is not the name of a repository.")
    return name


def checked_target(target: str) -> str:
    """Returns a tag or digest unchanged. Raises BadReference or BadDigest if the text is neither."""
    if ":" in target:
        return str(Digest.parse(target))
    if not TAG.fullmatch(target):
        raise BadReference(f"{target[:200]!r} is not a tag.")
    return target


def note_tag(tag: str, architecture: str) -> str:
    """Returns the tag of the note that an image for a processor is added to a tag (see `distribution.appending`).

    Raises BadReference if the tag is too long for such notes.
    """
    note = f"{tag}{_NOTE}{architecture}"
    if not TAG.fullmatch(note):
        raise BadReference(f"The tag {tag[:200]!r} is too long for --append-platform.", "Choose a shorter tag.")
    return note


def is_note(tag: str) -> bool:
    """Whether a tag is that of a note (see `note_tag`), not of an image that a user has named."""
    return _NOTES.fullmatch(tag) is not None
