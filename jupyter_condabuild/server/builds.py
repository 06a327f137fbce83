"""Builds for the event loop: start, join, cancel, follow. What blocks is done in threads."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.jobs import up_to_date
from jupyter_condabuild.requests.build import BuildRequest, ImageRequest
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.server import process, serializers
from jupyter_condabuild.server.event_log import EventLog, Line
from jupyter_condabuild.server.history import BuildHistory, Record
from jupyter_condabuild.server.notifier import Notifier
from jupyter_condabuild.server.process import Workplace
from jupyter_condabuild.server.single_flight import SingleFlight
from jupyter_condabuild.server.stream import View
from jupyter_condabuild.server.supervisor import Supervisor
from jupyter_condabuild.settings import Settings

T = TypeVar("T")

ROUND_SECONDS = 0.1
"""How often living builds are looked at."""

STANDS_SECONDS = 5.0
"""How long a registry may take to say whether an image is still there."""


class Builds:
    """All builds of this user, whichever server started them. Nothing happens before it is asked for something."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        log: logging.Logger | logging.LoggerAdapter[Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._log = log
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "condabuild-history")
        self._opened: tuple[BuildHistory, Supervisor] | None = None
        self._active: dict[str, Record] = {}
        self._sizes: dict[str, int] = {}
        self._notifiers: dict[str, Notifier] = {}
        self._watching: asyncio.Task[None] | None = None
        self._keys: SingleFlight[str] = SingleFlight()

    async def start(self, command: str, request: Request, asked: Mapping[str, Any]) -> tuple[Record, bool]:
        """A new build and True, or the same one that lives, or that finished and still stands, and False.

        Raises QueueFull, StoreError.
        """
        text = json.dumps(request.to_json(), sort_keys=True)
        key = await self._keys.get(command + text, lambda: asyncio.to_thread(_key, command, request, text))
        if command == "build" and isinstance(request, BuildRequest) and not request.again:
            finished = await self._do(lambda history, _: history.finished(key))
            if finished and await self._stands(request, key, finished):
                return finished, False
        id = secrets.token_hex(8)
        limit = self._settings.max_concurrent_builds + self._settings.max_queued_builds
        now = self._clock()
        record = await self._do(lambda history, _: history.enter(id, key, json.loads(text), asked, now, limit, command))
        self.watch()
        await self._look()
        return await self.record(record.id), record.id == id

    async def cancel(self, id: str) -> Record:
        """Tells a build to end; raises NotThere."""
        record = await self._do(lambda _, supervisor: supervisor.cancel(id))
        self.watch()
        await self._look()
        return record

    async def forget(self, id: str) -> None:
        """Removes an ended build from the history; raises NotThere, NotEnded."""
        await self._do(lambda _, supervisor: supervisor.forget(id))
        await self._look()

    async def record(self, id: str) -> Record:
        """What is known of a build; raises NotThere."""
        if active := self._active.get(id):
            return active
        return await self._do(lambda history, _: history.get(id))

    async def recent(self, limit: int) -> list[Record]:
        """The newest first."""
        return await self._do(lambda history, _: history.recent(limit))

    def view(self, record: Record) -> dict[str, Any]:
        """A build as clients see it."""
        return serializers.build(record, self._waiting, process.uptime())

    def follow(self, id: str, closed: asyncio.Future[None]) -> Following:
        """What a stream of a build's events reads from; waits end when `closed` is done."""
        self.watch()
        return Following(self, id, self._notifiers.setdefault(id, Notifier()), self._event_log(id), closed)

    def watch(self) -> None:
        """Looks at living builds from time to time, as long as there are any."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    def resume(self) -> None:
        """Follows the builds that a former server left, if there was one."""
        if (self._folder / "history.sqlite").exists():
            self.watch()

    @property
    def living(self) -> int:
        """Builds that wait or run, as of the last look."""
        return len(self._active)

    async def close(self) -> None:
        """Lets go of everything; builds go on."""
        if self._watching:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        if self._opened:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._opened[0].close)
        self._thread.shutdown()

    @property
    def _waiting(self) -> Sequence[str]:
        return [record.id for record in self._active.values() if record.state == "queued"]

    def _event_log(self, id: str) -> EventLog:
        return Workplace(self._folder / "builds" / id).event_log

    async def _do(self, work: Callable[[BuildHistory, Supervisor], T]) -> T:
        """Work with the history, in its thread."""

        def opened() -> T:
            if self._opened is None:
                history = BuildHistory(self._folder / "history.sqlite")
                (self._folder / "builds").mkdir(mode=0o700, exist_ok=True)
                self._opened = history, Supervisor(history, self._folder / "builds", self._settings, self._clock)
            return work(*self._opened)

        return await asyncio.get_running_loop().run_in_executor(self._thread, opened)

    async def _stands(self, request: BuildRequest, key: str, record: Record) -> bool:
        if not up_to_date.applies(request):
            return False
        try:
            async with asyncio.timeout(STANDS_SECONDS):
                memory = await asyncio.to_thread(_recall, request, key)
        except (TimeoutError, CondaBuildError):
            return False
        return memory is not None and memory.finished.digest == (record.ending or {}).get("digest")

    async def _watch(self) -> None:
        while True:
            try:
                if not await self._look():
                    return
            except (CondaBuildError, OSError, sqlite3.Error) as error:
                self._log.warning("Builds cannot be looked after at the moment: %s", error)
            await asyncio.sleep(ROUND_SECONDS)

    async def _look(self) -> bool:
        """One round; wakes the readers of builds that moved. Whether any build lives."""

        def work(_: BuildHistory, supervisor: Supervisor) -> tuple[list[Record], dict[str, int]]:
            living = supervisor.round()
            return living, {record.id: self._event_log(record.id).size for record in living}

        records, sizes = await self._do(work)
        active = {record.id: record for record in records}
        for id in list(self._notifiers):
            moved = active.get(id) != self._active.get(id) or sizes.get(id) != self._sizes.get(id)
            if moved or (id in active and active[id].state == "queued" and list(active) != list(self._active)):
                self._notifiers[id].notify()
            if id not in active:
                del self._notifiers[id]
        self._active, self._sizes = active, sizes
        return bool(active)


class Following:
    """One reader's way along a build's events (`stream.Feed`)."""

    def __init__(
        self, builds: Builds, id: str, notifier: Notifier, event_log: EventLog, closed: asyncio.Future[None]
    ) -> None:
        self._builds = builds
        self._id = id
        self._notifier = notifier
        self._event_log = event_log
        self._closed = closed

    @property
    def version(self) -> int:
        """Another number whenever the build moved."""
        return self._notifier.version

    async def view(self) -> View:
        """The build now."""
        record = await self._builds.record(self._id)
        ending = record.ending if record.state not in ("queued", "running") else None
        return View(self._builds.view(record), ending)

    async def offset_after(self, seq: int) -> int:
        """Where the event after `seq` starts."""
        return await asyncio.to_thread(self._event_log.offset_after, seq) if seq else 0

    async def read(self, offset: int) -> tuple[list[Line], int]:
        """Events from there on."""
        return await asyncio.to_thread(self._event_log.read, offset)

    async def wait(self, version: int, seconds: float) -> bool:
        """Until the build moved."""
        return await self._notifier.wait(version, seconds, self._closed)


def _key(command: str, request: Request, text: str) -> str:
    """The same for the same request as long as the files behind it are the same."""
    if isinstance(request, ImageRequest):
        text = up_to_date.identity(request)
    if command == "build":
        return text  # by which the store remembers it
    return hashlib.sha256(f"{command}\0{text}".encode("utf-8", "surrogateescape")).hexdigest()


def _recall(request: BuildRequest, key: str) -> up_to_date.Memory | None:
    with open_job(request, lambda event: None) as job:
        return up_to_date.recall(request, key, job)
