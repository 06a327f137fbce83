"""Streams: large layers are sent while they are written. Only the digest is sent afterwards.

The bytes go in one PATCH of unknown length, as `docker push` sends them, so that every registry takes them. Several
chunks do not work everywhere: ECR loses the second one (aws/containers-roadmap#2831).

Source: distribution-spec v1.1, "Pushing blobs".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress

from jupyter_condabuild.distribution.busy import Busy
from jupyter_condabuild.errors import Cancelled, CondaBuildError
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.oci.upload import Session
from jupyter_condabuild.system import opening

MOST_STREAMS = 2
"""The layers that are sent while they are written. Further layers are sent when they are complete."""

STREAMED_FROM = 16 << 20
"""The size in bytes of a layer's archives from which the layer is sent while it is written."""

_READ = 1 << 20


class GrowingFile:
    """A file that another process writes. `read` waits for its bytes until the file is complete.

    Args:
        moved: called with the number of bytes that `read` has yielded until now.
        waiting: entered while `read` waits for bytes.
    """

    def __init__(
        self, path: str, moved: Callable[[int], None], waiting: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  it may be renamed before it is read
        self._moved = moved
        self._waiting = waiting
        self._changed = threading.Condition()
        self._changes = 0
        self._size: int | None = None
        self._abandoned = False

    def grown(self) -> None:
        """Says that the file has more bytes."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def complete(self, size: int) -> None:
        """Says that the file is complete, and how many bytes it has."""
        self._size = size
        self.grown()

    def abandon(self) -> None:
        """Ends `read` with Cancelled."""
        self._abandoned = True
        self.grown()

    def read(self) -> Iterator[bytes]:
        """Yields the bytes. Raises Cancelled if the file is abandoned or has another size, or OSError."""
        at = self._file.seek(0)
        while at != self._size:
            seen, is_complete = self._changes, self._size is not None
            if self._abandoned:
                raise Cancelled("The layer is not needed.")
            if piece := self._file.read(_READ):
                at += len(piece)
                yield piece
                self._moved(at)
            elif is_complete:
                raise Cancelled("The layer has another size.")
            else:
                with self._waiting(), self._changed:
                    self._changed.wait_for(lambda seen=seen: self._changes != seen)  # type: ignore[misc]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Streams:
    """The streams of one push, until `end` is called."""

    def __init__(self, repository: Repository, busy: Busy) -> None:
        self._repository = repository
        self._busy = busy
        self._executor = ThreadPoolExecutor(MOST_STREAMS, thread_name_prefix="stream")
        self._files: dict[str, GrowingFile] = {}
        self._sessions: dict[str, Future[Session]] = {}
        self._works = opening.RENAMES_OPEN  # the store renames a complete layer
        self._lock = threading.Lock()

    def end(self, *, wait: bool) -> None:
        """Cancels the streams that run. `wait` says whether to wait until the registry knows."""
        for key in list(self._files):
            self.abandon(key)
        self._executor.shutdown(wait=wait, cancel_futures=True)

    def grown(self, key: str, path: str, moved: Callable[[int], None]) -> None:
        """Says that the file of a layer has more bytes. The first time, its upload begins, if fewer than two run."""
        with self._lock:
            file = self._files.get(key)
            running = sum(not session.done() for session in self._sessions.values())
            if file is None and self._works and running < MOST_STREAMS:
                with suppress(OSError):
                    file = self._files[key] = GrowingFile(path, moved, self._busy.paused)
                    self._sessions[key] = self._executor.submit(self._send, file)
        if file:
            file.grown()

    def abandon(self, key: str) -> None:
        """Cancels the stream of a layer."""
        with self._lock:
            file = self._files.pop(key, None)
            session = self._sessions.pop(key, None)
        if file:
            file.abandon()
        if file and session and session.cancel():
            file.close()
        elif session:
            session.add_done_callback(self._discard)

    def complete(self, key: str, size: int) -> bool:
        """Says that the file of a layer is complete. Returns whether it is being sent."""
        with self._lock:
            file = self._files.get(key)
        if file:
            file.complete(size)
        return file is not None

    def session(self, key: str) -> Session | None:
        """Waits until a complete file was sent. Returns the session that has its bytes; None if a fault occurred."""
        with self._lock:
            self._files.pop(key, None)
            session = self._sessions.pop(key, None)
        with suppress(CondaBuildError, OSError, CancelledError):
            return session.result() if session else None
        self._works = False
        return None

    def _send(self, file: GrowingFile) -> Session:
        with closing(file), self._busy:
            return self._repository.stream(file.read)

    def _discard(self, session: Future[Session]) -> None:
        with suppress(CondaBuildError, OSError):
            self._repository.discard(session.result())
