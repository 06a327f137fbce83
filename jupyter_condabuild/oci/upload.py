"""Uploads a blob to a registry: a small blob in one request, a large blob in chunks that can be resumed.

Source: distribution-spec v1.1, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

from jupyter_condabuild.errors import BlobGone, CondaBuildError, ContentMismatch, RegistryError, RegistryFault
from jupyter_condabuild.oci.http_errors import SUCCESS, status_text
from jupyter_condabuild.oci.image import Descriptor
from jupyter_condabuild.oci.retry import Pauses
from jupyter_condabuild.oci.tokens import Access
from jupyter_condabuild.oci.transport import Answer, Call, Transport, with_query

MIB = 1024 * 1024
MONOLITHIC_MAX = 128 * MIB
CHUNK = 64 * MIB
MIN_CHUNK = MIB
READ = MIB
COMMIT_TIMEOUT = 300.0
_BINARY = {"Content-Type": "application/octet-stream"}
_NEEDS_CHUNKS = frozenset({413})
_NEEDS_ONE_REQUEST = frozenset({400, 404, 405, 411, 415, 416, 501})


@dataclass(frozen=True)
class Session:
    """An upload session that the registry has opened.

    Args:
        url: the URL for the next request of the session.
        min_chunk: the smallest size in bytes of every chunk but the last (``OCI-Chunk-Min-Length``).
    """

    url: str
    min_chunk: int = 0

    @classmethod
    def of(cls, transport: Transport, answer: Answer, doing: str) -> Session:
        """Returns the session of a response. Raises RegistryFault if its ``Location`` is missing or not safe."""
        minimum = answer.headers.get("oci-chunk-min-length", "")
        return cls(transport.locate(answer, doing), int(minimum) if re.fullmatch(r"[0-9]{1,10}", minimum) else 0)

    @classmethod
    def streamed(
        cls, opened: Session, transport: Transport, access: Access, doing: str, read: Callable[[], Iterator[bytes]]
    ) -> Session:
        """Sends bytes of an unknown number to a session, with one PATCH. Returns the session that has them.

        Raises RegistryError if the registry refuses or reports another number, and the errors of `read`. Then
        the session is cancelled.
        """
        sent = 0

        def body() -> Iterator[bytes]:
            nonlocal sent
            sent = 0
            for piece in read():
                sent += len(piece)
                yield piece

        call = Call("PATCH", opened.url, access, doing, _BINARY, body, None, COMMIT_TIMEOUT)
        try:
            answer = transport.once(call, SUCCESS)
            if not answer.headers.get("range", f"-{sent - 1}").endswith(f"-{sent - 1}"):
                raise RegistryFault(f"Could not {doing} at {transport.host}: the registry reports another range.")
            return cls.of(transport, answer, doing) if "location" in answer.headers else opened
        except BaseException:
            opened.cancel(transport, access)
            raise

    def cancel(self, transport: Transport, access: Access) -> None:
        """Cancels the session at the registry. Failures are ignored."""
        with suppress(CondaBuildError):
            transport.once(Call("DELETE", self.url, access, "cancel an upload"), SUCCESS)


class Upload:
    """The upload of one blob. `run` may be called once.

    Args:
        transport: the connections to the registry.
        access: the rights that the requests need.
        descriptor: the descriptor of the blob.
        open: opens the bytes of the blob from the start. It is called again if the bytes must be sent again and the
            file is not seekable.
        doing: completes "Could not …" in an error.
        begin: opens an upload session.
        present: whether the registry has the blob; None if it does not tell. It is called if a response was lost.
        progress: called with the number of bytes sent since the last call. The number is negative if bytes must be
            sent again.
    """

    def __init__(
        self,
        transport: Transport,
        access: Access,
        descriptor: Descriptor,
        open: Callable[[], BinaryIO],
        *,
        doing: str,
        begin: Callable[[], Session],
        present: Callable[[], bool | None],
        progress: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._access = access
        self._descriptor = descriptor
        self._source = _Source(open, descriptor, self._moved_to)
        self._doing = doing
        self._begin = begin
        self._present = present
        self._progress = progress
        self._pauses = Pauses(transport.patience)
        self._position = self._furthest = 0
        self._session: Session | None = None
        self._resumed = False

    def run(self, session: Session | None = None) -> None:
        """Uploads the blob.

        Args:
            session: the session that the registry opened instead of mounting the blob. None to open a session.

        Raises:
            RegistryError: the registry refuses the upload, or failures occurred too often.
            ContentMismatch: the bytes do not match the descriptor.

        The errors of `open` are raised unchanged.
        """
        self._session = session
        try:
            self._run()
        except Exception:
            if self._session is not None:
                self._session.cancel(self._transport, self._access)
            raise
        finally:
            self._source.close()

    def finish(self, session: Session) -> bool:
        """Ends the upload of a session that has all bytes. Returns false if that fails; the session is cancelled."""
        self._session = session
        try:
            self._put(None, 0)
        except (RegistryError, ContentMismatch):
            session.cancel(self._transport, self._access)
            return False
        self._moved_to(self._descriptor.size)
        return True

    def _run(self) -> None:
        chunked, switched = self._descriptor.size > MONOLITHIC_MAX, False
        while True:
            self._session = self._session or self._begin()
            try:
                self._in_chunks() if chunked else self._in_one_request()
                return
            except ContentMismatch as error:
                # After a resumed upload, the registry may have reported a wrong number of bytes. The local bytes can
                # still be right, so the upload starts again.
                if not self._resumed:
                    raise
                self._moved_to(0)
                self._pauses.after(RegistryFault(error.message, error.hint, temporary=True))
            except BlobGone:  # a repository from which the blob is copied has lost it, so a new attempt cannot help
                raise
            except RegistryError as error:
                self._moved_to(0)
                answered = error.status is not None and error.status >= 400
                if (error.temporary or not answered) and self._present():
                    self._moved_to(self._descriptor.size)
                    return
                if not switched and error.status in (_NEEDS_ONE_REQUEST if chunked else _NEEDS_CHUNKS):
                    chunked, switched = not chunked, True
                else:
                    error.temporary = error.temporary or error.status == 404
                    self._pauses.after(error)
                    chunked = chunked or not switched
            self._session.cancel(self._transport, self._access)
            self._session, self._resumed = None, False

    def _in_one_request(self) -> None:
        """Sends all bytes with one PUT ("POST then PUT")."""
        self._put(partial(self._source.read, 0, self._descriptor.size), self._descriptor.size)

    def _in_chunks(self) -> None:
        """Sends chunks with PATCH until the registry has all bytes, then PUT ("Pushing a blob in chunks")."""
        assert self._session is not None
        size, step = self._descriptor.size, max(CHUNK, self._session.min_chunk)
        offset, lost = 0, False
        while offset < size:
            try:
                received = self._received() if lost else self._patch(offset, min(offset + step, size))
            except RegistryError as error:
                if error.status in (404, 416) and (lost or offset):
                    raise RegistryFault(error.message, error.hint, temporary=True) from None
                smaller = min(step, max(step // 4, MIN_CHUNK, self._session.min_chunk))
                if error.status != 413 or smaller == step:
                    self._pauses.after(error)
                if error.status in (413, None):
                    step = smaller
                lost = error.status != 413
                continue
            if received >= min(self._furthest + MIB, size):
                self._furthest = received
                self._pauses.progressed()
            offset, lost = received, False
            self._moved_to(offset)
        while True:
            try:
                self._put(None, 0)
                return
            except RegistryError as error:
                if error.temporary and self._present():
                    return
                self._pauses.after(error)

    def _patch(self, start: int, end: int) -> int:
        """Sends the bytes from `start` to `end`. Returns the number of bytes that the registry has afterwards."""
        assert self._session is not None
        headers = {**_BINARY, "Content-Range": f"{start}-{end - 1}"}
        body = partial(self._source.read, start, end)
        call = Call("PATCH", self._session.url, self._access, self._doing, headers, body, end - start, COMMIT_TIMEOUT)
        answer = self._transport.once(call, SUCCESS)
        self._follow(answer)
        received = self._bytes_in(answer, end)
        if not start < received <= end:
            raise self._out_of_range()
        return received

    def _received(self) -> int:
        """Asks the registry how many bytes it has ("GET blob upload status")."""
        assert self._session is not None
        answer = self._transport.once(Call("GET", self._session.url, self._access, self._doing), SUCCESS)
        self._follow(answer)
        self._resumed = True
        return self._bytes_in(answer, None)

    def _follow(self, answer: Answer) -> None:
        """Continues the session at the ``Location`` of a response, if it has one, with the same smallest chunk."""
        assert self._session is not None
        if "location" in answer.headers:
            self._session = replace(self._session, url=self._transport.locate(answer, self._doing))

    def _bytes_in(self, answer: Answer, expected: int | None) -> int:
        """Returns the number of bytes that the header ``Range`` reports. Registries report ``0-0`` for no bytes.

        Args:
            answer: the response.
            expected: the number to return if the response has no ``Range``; None for 0.
        """
        text = answer.headers.get("range")
        if text is None and expected is not None:
            return expected
        match = re.fullmatch(r"(?:bytes[= ])?0-([0-9]{1,18})", text or "")
        count = int(match[1]) + 1 if match and match[1] != "0" else 0
        if (match is None and text) or count > self._descriptor.size:
            raise self._out_of_range()
        return count

    def _out_of_range(self) -> RegistryFault:
        return RegistryFault(
            f"Could not {self._doing} at {self._transport.host}: the registry reports another range than was sent."
        )

    def _put(self, body: Callable[[], Iterator[bytes]] | None, size: int) -> None:
        """Ends the upload: sends the digest of the blob and the remaining `size` bytes.

        After a status of success other than 201, the registry is asked whether it has the blob.
        """
        assert self._session is not None
        digest = str(self._descriptor.digest)
        url = with_query(self._session.url, [("digest", digest)])
        call = Call("PUT", url, self._access, self._doing, _BINARY, body, size, COMMIT_TIMEOUT)
        answer = self._transport.once(call, SUCCESS)
        failure = f"Could not {self._doing} at {self._transport.host}:"
        if answer.headers.get("docker-content-digest", digest) != digest:
            raise ContentMismatch(f"{failure} the registry stored other bytes.")
        if answer.status != 201 and self._present() is False:
            raise RegistryFault(
                f"{failure} the registry answered {status_text(answer.status)}, but it does not have the blob.",
                temporary=True,
            )

    def _moved_to(self, position: int) -> None:
        if position != self._position:
            moved, self._position = position - self._position, position
            self._progress(moved)


class _Source:
    """Reads the bytes of a blob from any offset. A file that is not seekable is opened again to go back."""

    def __init__(self, open: Callable[[], BinaryIO], descriptor: Descriptor, moved_to: Callable[[int], None]) -> None:
        self._open = open
        self._descriptor = descriptor
        self._moved_to = moved_to
        self._file: BinaryIO | None = None
        self._at = 0

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yields the bytes from `start` to `end`. Raises ContentMismatch if the blob has fewer bytes."""
        self._moved_to(start)
        file = self._seek(start)
        while self._at < end:
            piece = self._next(file, end)
            yield piece
            self._moved_to(self._at)

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _seek(self, offset: int) -> BinaryIO:
        if self._file is not None and self._at > offset and not self._file.seekable():
            self.close()
        if self._file is None:
            self._file, self._at = self._open(), 0
        if self._at != offset and self._file.seekable():
            self._at = self._file.seek(offset)
        while self._at < offset:
            self._next(self._file, offset)
        return self._file

    def _next(self, file: BinaryIO, end: int) -> bytes:
        piece = file.read(min(READ, end - self._at))
        if not piece:
            size, digest = self._descriptor.size, self._descriptor.digest
            raise ContentMismatch(f"The blob {digest} has {self._at} bytes instead of {size}.")
        self._at += len(piece)
        return piece
