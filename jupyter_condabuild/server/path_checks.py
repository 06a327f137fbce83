"""Checks of the paths in REST requests: environments that may be built, and paths below the server's root folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from jupyter_condabuild.conda.prefix.launchers import is_prefix
from jupyter_condabuild.errors import BadRequest, NotAPrefix, PrefixNotAllowed
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation, has_prefix

_MAX_BYTES = 4096
"""The longest path, in bytes, that a client may give (PATH_MAX of Linux)."""


def environment(path: str | Path, allowed: Iterable[str]) -> Path:
    """Returns the real path of a conda environment that this server may build.

    Symbolic links are resolved first, so the check concerns the folder that is read. The error for a folder that is
    not allowed does not depend on whether the folder exists.

    Args:
        allowed: the setting allow_prefixes. If it is empty, every environment is allowed.

    Raises:
        NotAPrefix: the path is not a conda environment.
        PrefixNotAllowed: the environment is not below an allowed folder.
    """
    text = str(path)
    if not os.path.isabs(text) or "\0" in text or len(os.fsencode(text)) > _MAX_BYTES:
        raise NotAPrefix(f"{_printable(text)} is not the absolute path of a folder.")
    real = Path(os.path.realpath(text))
    roots = [Path(os.path.realpath(os.path.expanduser(folder))) for folder in allowed]
    if roots and not any(real.is_relative_to(root) for root in roots):
        raise PrefixNotAllowed(f"{_printable(text)} is not among the environments that this server may build.")
    if not is_prefix(real):
        raise NotAPrefix(f"{_printable(text)} is not a conda environment: it has no conda-meta folder.")
    return real


def below(root: Path, text: str, member: str) -> Path:
    """Returns the real path of a path relative to the server's root folder.

    Args:
        member: the name of the request's member that has the path, for the message.

    Raises:
        BadRequest: the path is absolute, too long, or leads out of the root folder.
    """
    if "\0" in text or os.path.isabs(text) or len(os.fsencode(text)) > _MAX_BYTES:
        raise BadRequest(f"{member} must be a path relative to the server's root folder.")
    top = Path(os.path.realpath(root))
    real = Path(os.path.realpath(top / text))
    if not real.is_relative_to(top):
        raise BadRequest(f"{member} leads out of the server's root folder: {_printable(text)}.")
    return real


def archive(root: Path, text: str) -> str:
    """Returns the value for `BuildRequest.archive`: the archive that a client named, with a real path.

    Raises BadRequest.
    """
    location = ImageLocation.parse_archive(text)
    if ":" in location.name:
        raise BadRequest("archive must be a path, with or without docker-archive: or oci-archive: before it.")
    path = below(root, location.name, "archive")
    if path.suffix != ".tar" or path.is_dir():
        raise BadRequest("archive must be the path of a file whose name ends in .tar.")
    if not path.parent.is_dir():
        raise BadRequest(f"There is no folder {_printable(os.path.dirname(location.name))} for the archive.")
    return str(ImageLocation(location.kind, str(path)))


def image(root: Path, text: str, named: str) -> str:
    """Returns the image that a client named, with a registry or a real path.

    Args:
        text: the reference, ``docker-daemon:NAME``, or an archive relative to the server's root folder.
        named: `text` with the default registry, if `text` is a reference without a registry.

    Raises:
        BadRequest, BadReference, BadDigest.
    """
    if not has_prefix(text):
        return str(Reference.parse(named))  # it has a registry, so the command cannot take it for the path of a file
    location = ImageLocation.parse(text)
    if not location.is_file:
        return text
    return str(ImageLocation(location.kind, str(below(root, location.name, "reference"))))


def _printable(text: str) -> str:
    """Returns the path for a message: escaped if it has unusual characters, at most 200 characters of it."""
    return ascii(text[:200]) if len(text) > 200 or not text.isprintable() else text
