"""One blob on its way to a registry: in one piece where it is small, in resumable chunks where it is large.

Source: distribution-spec v1.1, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from jupyter_condabuild.errors import BlobGone, CondaBuildError, ContentMismatch, RegistryError, RegistryFault
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
_NEEDS_WHOLE = frozenset({400, 404, 405, 411, 415, 416, 501})


@dataclass(frozen=True)
class Session:
    """An upload that the registry has begun: where to send to, and the least size in bytes of a chunk but the last."""

    url: str
    min_chunk: int = 0

    @classmethod
    def of(cls, transport: Transport, answer: Answer, doing: str) -> Session:
        """The session that a 202 answer opens; raises RegistryFault unless it names a place that is safe."""
        minimum = answer.headers.get("oci-chunk-min-length", "")
        return cls(transport.locate(answer, doing), int(minimum) if re.fullmatch(r"[0-9]{1,10}", minimum) else 0)

    def cancel(self, transport: Transport, access: Access) -> None:
        """Tells the registry that nothing more will come; its failure matters to nobody."""
        with suppress(CondaBuildError):
            transport.once(Call("DELETE", self.url, access, "cancel an upload"), {200, 202, 204})


class Upload:
    """The upload of one blob; `run` may be called once.

    Args:
        open: gives the blob's bytes from the start; called again when they are needed again and cannot be sought.
        begin: starts an upload session.
        present: whether the registry has the blob, asked when an answer was lost.
        progress: is told of bytes as they go; a negative number takes back bytes that have to be sent again.
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
        present: Callable[[], bool],
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
        """Uploads the blob, in the session that a refused mount has opened where there is one.

        Raises RegistryError, ContentMismatch where the bytes are not those of the descriptor, or what `open` raises.
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

    def _run(self) -> None:
        chunked, switched = self._descriptor.size > MONOLITHIC_MAX, False
        while True:
            self._session = self._session or self._begin()
            try:
                self._in_chunks() if chunked else self._whole()
                return
            except ContentMismatch as error:
                # A registry that misjudged what it had when we resumed is not proof of bad bytes here.
                if not self._resumed:
                    raise
                self._moved_to(0)
                self._pauses.after(RegistryFault(error.message, error.hint, temporary=True))
            except BlobGone:  # the bytes were to come from a repository that has lost them
                raise
            except RegistryError as error:
                self._moved_to(0)
                answered = error.status is not None and error.status >= 400
                if (error.temporary or not answered) and self._present():
                    self._moved_to(self._descriptor.size)
                    return
                if not switched and error.status in (_NEEDS_WHOLE if chunked else _NEEDS_CHUNKS):
                    chunked, switched = not chunked, True
                else:
                    error.temporary = error.temporary or error.status == 404
                    self._pauses.after(error)
                    chunked = chunked or not switched
            self._session.cancel(self._transport, self._access)
            self._session, self._resumed = None, False

    def _whole(self) -> None:
        """One PUT with all bytes ("POST then PUT")."""
        self._put(partial(self._source.read, 0, self._descriptor.size), self._descriptor.size)

    def _in_chunks(self) -> None:
        """PATCH until the registry has all bytes, then PUT ("Pushing a blob in chunks")."""
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
        """Sends the bytes from start to end; the number of bytes that the registry then has."""
        assert self._session is not None
        headers = {**_BINARY, "Content-Range": f"{start}-{end - 1}"}
        body = partial(self._source.read, start, end)
        call = Call("PATCH", self._session.url, self._access, self._doing, headers, body, end - start, COMMIT_TIMEOUT)
        answer = self._transport.once(call, {202})
        self._session = Session.of(self._transport, answer, self._doing)
        received = self._bytes_in(answer, end)
        if not start < received <= end:
            raise self._out_of_range()
        return received

    def _received(self) -> int:
        """Asks how many bytes the registry has ("GET blob upload status")."""
        assert self._session is not None
        answer = self._transport.once(Call("GET", self._session.url, self._access, self._doing), {200, 202, 204})
        if "location" in answer.headers:
            self._session = Session.of(self._transport, answer, self._doing)
        self._resumed = True
        return self._bytes_in(answer, None)

    def _bytes_in(self, answer: Answer, expected: int | None) -> int:
        """The number of bytes that an answer's ``Range`` reports; ``0-0`` is what registries say for none at all."""
        text = answer.headers.get("range")
        if text is None and expected is not None:
            return expected
        match = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", text or "")
        count = int(match[1]) + 1 if match and match[1] != "0" else 0
        if (match is None and text) or count > self._descriptor.size:
            raise self._out_of_range()
        return count

    def _out_of_range(self) -> RegistryFault:
        return RegistryFault(f"Could not {self._doing} at {self._transport.host}: it has another range than was sent.")

    def _put(self, body: Callable[[], Iterator[bytes]] | None, size: int) -> None:
        """Ends the upload with the blob's digest and what is left of its bytes."""
        assert self._session is not None
        digest = str(self._descriptor.digest)
        url = with_query(self._session.url, [("digest", digest)])
        call = Call("PUT", url, self._access, self._doing, _BINARY, body, size, COMMIT_TIMEOUT)
        answer = self._transport.once(call, {201})
        if answer.headers.get("docker-content-digest", digest) != digest:
            raise ContentMismatch(f"Could not {self._doing} at {self._transport.host}: it stored other bytes.")

    def _moved_to(self, position: int) -> None:
        if position != self._position:
            moved, self._position = position - self._position, position
            self._progress(moved)


class _Source:
    """The blob's bytes from any offset, of a file or of a stream that can only be read on or begun anew."""

    def __init__(self, open: Callable[[], BinaryIO], descriptor: Descriptor, moved_to: Callable[[int], None]) -> None:
        self._open = open
        self._descriptor = descriptor
        self._moved_to = moved_to
        self._file: BinaryIO | None = None
        self._at = 0

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from start to end; raises ContentMismatch where there are fewer."""
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
            raise ContentMismatch(f"The blob {digest} has {self._at} bytes where {size} were expected.")
        self._at += len(piece)
        return piece
