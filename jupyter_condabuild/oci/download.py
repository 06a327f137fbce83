"""Downloads a blob from a registry: streams it, verifies it, and resumes after an interrupted connection.

Source: distribution-spec v1.1, "Pulling blobs"; RFC 9110 section 14.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from jupyter_condabuild.errors import ContentMismatch, RegistryError, RegistryFault, RegistryUnreachable
from jupyter_condabuild.oci.image import Descriptor
from jupyter_condabuild.oci.retry import Pauses
from jupyter_condabuild.oci.tokens import Access
from jupyter_condabuild.oci.transport import Call, Stream, Transport

CHUNK = 1024 * 1024


def download(transport: Transport, url: str, access: Access, doing: str, descriptor: Descriptor) -> Iterator[bytes]:
    """Yields the bytes of a blob in chunks. Only the last chunk of a connection is smaller than CHUNK.

    Args:
        transport: the connections to the registry.
        url: the path of the blob in the registry.
        access: the rights that the request needs.
        doing: completes "Could not …" in an error.
        descriptor: the digest and size that the blob must have.

    Raises:
        ContentMismatch: the blob has more bytes than the descriptor says (raised at once), or another digest (raised
            after the last chunk).
        RegistryError: the registry refuses the request, or the connection was interrupted too often.
    """
    hasher = hashlib.new(descriptor.digest.algorithm)
    pauses = Pauses(transport.patience)
    offset = since_failure = 0
    while True:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        call = Call("GET", url, access, doing, headers)
        try:
            with transport.stream(call, {200, 206} if offset else {200}) as answer:
                for chunk in _chunks(answer.pieces, _skip(answer, offset, descriptor, doing)):
                    offset += len(chunk)
                    since_failure += len(chunk)
                    if offset > descriptor.size:
                        raise _mismatch(descriptor, f"is longer than the {descriptor.size} bytes expected")
                    hasher.update(chunk)
                    yield chunk
            if offset == descriptor.size:
                break
            raise RegistryUnreachable(
                f"Could not {doing} at {transport.host}: the connection was interrupted.", temporary=True
            )
        except RegistryError as error:
            if offset == descriptor.size:
                break
            if since_failure >= CHUNK:
                pauses.progressed()
            since_failure = 0
            pauses.after(error)
    if hasher.hexdigest() != descriptor.digest.hex:
        raise _mismatch(descriptor, "does not match its digest")


def _skip(answer: Stream, offset: int, descriptor: Descriptor, doing: str) -> int:
    """Returns the number of bytes at the start of the body that were received before.

    It is 0 in a response with status 206, and `offset` in a response with status 200, which ignores the range.
    """
    if answer.status == 200:
        total, skip = answer.headers.get("content-length", "*"), offset
    else:
        match = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", answer.headers.get("content-range", ""))
        if match is None or int(match[1]) != offset:
            raise RegistryFault(f"Could not {doing}: the registry sent another range of bytes than requested.")
        total, skip = match[2], 0
    if total.isdecimal() and int(total) != descriptor.size:
        raise _mismatch(descriptor, f"has {total} bytes instead of {descriptor.size}")
    return skip


def _chunks(pieces: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """Yields the body from byte `skip` on in chunks of CHUNK or more.

    If reading fails, the bytes that were received before the failure are yielded first.
    """
    pending: list[bytes] = []
    size = 0
    failure: RegistryError | None = None
    while True:
        try:
            piece = next(pieces, None)
        except RegistryError as error:
            piece, failure = None, error
        if piece is None:
            break
        if skip:
            skip, piece = max(0, skip - len(piece)), piece[skip:]
        pending.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(pending)
            pending, size = [], 0
    if size:
        yield b"".join(pending)
    if failure is not None:
        raise failure


def _mismatch(descriptor: Descriptor, problem: str) -> ContentMismatch:
    return ContentMismatch(f"The blob {descriptor.digest} {problem}.")
