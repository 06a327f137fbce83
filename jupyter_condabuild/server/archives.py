"""The archives that builds wrote, as downloads: only the file that a build of this server wrote is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from jupyter_condabuild.errors import CondaBuildError, NotThere
from jupyter_condabuild.files import open_regular
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.server.history import Record

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Download:
    """An opened archive. `size` is in bytes."""

    file: BinaryIO
    name: str
    size: int

    def read(self) -> bytes:
        """Returns the next bytes; none at the end. A file that grows gives the bytes that it had when it was opened."""
        return self.file.read(min(CHUNK_BYTES, self.size - self.file.tell()))


def open_archive(record: Record) -> Download:
    """Opens the archive that a build wrote, if the file still holds the image of the build.

    The image is compared by its digest, so that a link or another file at the same path is not sent. The rest of the
    file is not read.

    Raises NotThere.
    """
    digest = str((record.ending or {}).get("digest", ""))
    text = record.request.get("archive") if record.command == "build" and record.state == "finished" else None
    if not text or not digest:
        raise NotThere(
            "The build wrote no archive.", "Only a finished build with an archive as its destination has one."
        )
    location = ImageLocation.parse_archive(str(text))
    if location.kind != "oci-archive":
        raise NotThere(
            f"{location.path.name} is a docker-archive, which is not checked and not sent.",
            "Download the file in the file browser.",
        )
    file = _opened(location.path)
    if digest not in _digests(location.path, file):
        file.close()
        raise NotThere(f"{location.path.name} is not the archive that this build wrote: it was changed later.")
    return Download(file, location.path.name, os.fstat(file.fileno()).st_size)


def _opened(path: Path) -> BinaryIO:
    """Opens a regular file that is not a link. Raises NotThere."""
    try:
        descriptor = open_regular(path)
    except OSError as error:
        raise NotThere(f"The archive {path.name} is not there any more: {error.strerror}.", "Build it again.") from None
    return os.fdopen(descriptor, "rb")


def _digests(path: Path, file: BinaryIO) -> list[str]:
    """Returns the digests of the images in an archive; none if the file is no archive. The file stays open."""
    # Imported here: a server reads archives only for a download.
    from jupyter_condabuild.oci.archive_reader import Archive

    with os.fdopen(os.dup(file.fileno()), "rb") as same:  # with the same position
        try:
            return [str(digest) for digest in Archive(same, path.name).digests]
        except CondaBuildError:
            return []
        finally:
            file.seek(0)


def disposition(name: str) -> str:
    """Returns the header Content-Disposition of a download. Source: RFC 6266."""
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
    encoded = quote(name.encode("utf-8", "surrogateescape"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
