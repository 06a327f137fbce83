"""Where a client may point: environments that may be built, and paths below the server's root folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from jupyter_condabuild.conda.prefix.launchers import is_prefix
from jupyter_condabuild.errors import BadRequest, NotAPrefix, PrefixNotAllowed
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation, has_prefix

_LONGEST = 4096


def environment(path: str | Path, allowed: Iterable[str]) -> Path:
    """The real folder of a conda environment that may be built; raises NotAPrefix and PrefixNotAllowed.

    Links are followed first, so that what is allowed is decided for the folder that is built. A folder that is not
    allowed is refused the same whether it is there or not.
    """
    text = str(path)
    if not os.path.isabs(text) or "\0" in text or len(os.fsencode(text)) > _LONGEST:
        raise NotAPrefix(f"{_shown(text)} is not the absolute path of a folder.")
    real = Path(os.path.realpath(text))
    roots = [Path(os.path.realpath(os.path.expanduser(folder))) for folder in allowed]
    if roots and not any(real.is_relative_to(root) for root in roots):
        raise PrefixNotAllowed(f"{_shown(text)} is not among the environments that this server may build.")
    if not is_prefix(real):
        raise NotAPrefix(f"{_shown(text)} is not a conda environment: it has no conda-meta folder.")
    return real


def below(root: Path, text: str, member: str) -> Path:
    """A path that a client gave relative to the server's root folder; raises BadRequest where it leads out."""
    if "\0" in text or os.path.isabs(text) or len(os.fsencode(text)) > _LONGEST:
        raise BadRequest(f"{member} should be a path relative to the server's root folder.")
    top = Path(os.path.realpath(root))
    real = Path(os.path.realpath(top / text))
    if not real.is_relative_to(top):
        raise BadRequest(f"{member} leads out of the server's root folder: {_shown(text)}.")
    return real


def archive(root: Path, text: str) -> str:
    """The archive that a client asked for, as a build request names it; raises BadRequest."""
    location = ImageLocation.parse_archive(text)
    if ":" in location.name:
        raise BadRequest("archive should be a path, with or without docker-archive: or oci-archive: before it.")
    rest = location.name
    path = below(root, rest, "archive")
    if path.suffix != ".tar" or path.is_dir():
        raise BadRequest("archive should be the path of a file whose name ends in .tar.")
    if not path.parent.is_dir():
        raise BadRequest(f"There is no folder {_shown(os.path.dirname(rest))} for the archive.")
    return str(ImageLocation(location.kind, str(path)))


def image(root: Path, text: str, named: str) -> str:
    """The image that a client asked for, as a process takes it; raises BadRequest, BadReference and BadDigest.

    Args:
        named: the same with a registry, for the name of an image.
    """
    if not has_prefix(text):
        return str(Reference.parse(named))  # with its registry: no file's name
    location = ImageLocation.parse(text)
    if not location.is_file:
        return text
    return str(ImageLocation(location.kind, str(below(root, location.name, "reference"))))


def _shown(text: str) -> str:
    return ascii(text[:200]) if len(text) > 200 or not text.isprintable() else text
