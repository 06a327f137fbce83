"""Builds on the event loop: starts, joins, cancels and follows them. Blocking work runs in threads."""

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
from jupyter_condabuild.files import private_folder
from jupyter_condabuild.jobs import up_to_date
from jupyter_condabuild.requests.build import BuildRequest, ImageRequest
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.server import serializers
from jupyter_condabuild.server.event_log import EventLog, Line
from jupyter_condabuild.server.history import BuildHistory, Record
from jupyter_condabuild.server.notifier import Notifier
from jupyter_condabuild.server.process import Workplace
from jupyter_condabuild.server.single_flight import SingleFlight
from jupyter_condabuild.server.stream import View
from jupyter_condabuild.server.supervisor import Supervisor
from jupyter_condabuild.server.updates import updates
from jupyter_condabuild.settings import Settings
from jupyter_condabuild.system import process_tree

T = TypeVar("T")

ROUND_SECONDS = 0.1
"""Seconds between two rounds of the supervisor."""

REGISTRY_SECONDS = 5.0
"""Seconds that a registry may take to answer whether an image is still there."""


class Builds:
    """All builds of this user, also those that another server started. The object does no work before its first call.

    Args:
        folder: the state folder. It holds the history and one folder for each build.
        on_activity: called again and again while a build waits or runs.
        clock: the current time in seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        log: logging.Logger | logging.LoggerAdapter[Any],
        on_activity: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._log = log
        self._on_activity = on_activity
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "condabuild-history")
        self._opened: tuple[BuildHistory, Supervisor] | None = None
        self._active: dict[str, Record] = {}
        self._sizes: dict[str, int] = {}
        self._notifiers: dict[str, Notifier] = {}
        self._watching: asyncio.Task[None] | None = None
        self._keys: SingleFlight[str] = SingleFlight()

    async def start(self, command: str, request: Request, client_members: Mapping[str, Any]) -> tuple[Record, bool]:
        """Starts a build, or joins the same build.

        Args:
            client_members: the members of the request's body that the history keeps (see `history.Record`).

        Returns:
            The record, and whether the build is new. A build is not new if the same build waits or runs, or if the
            same build finished and its image is still up to date.

        Raises:
            QueueFull, StoreError.
        """
        text = json.dumps(request.to_json(), sort_keys=True)
        key = await self._keys.get(command + text, lambda: asyncio.to_thread(_key, command, request, text))
        if command == "build" and isinstance(request, BuildRequest) and not request.again:
            finished = await self._with_history(lambda history, _: history.finished(key))
            if finished and await self._is_up_to_date(request, key, finished):
                return finished, False
        id = secrets.token_hex(8)
        limit = self._settings.max_concurrent_builds + self._settings.max_queued_builds
        now = self._clock()
        record = await self._with_history(
            lambda history, _: history.enter(id, key, json.loads(text), client_members, now, limit, command)
        )
        self.watch()
        await self._run_round()
        return await self.record(record.id), record.id == id

    async def cancel(self, id: str) -> Record:
        """Asks a build to end and returns its record. Raises NotThere."""
        record = await self._with_history(lambda _, supervisor: supervisor.cancel(id))
        self.watch()
        await self._run_round()
        return record

    async def forget(self, id: str) -> None:
        """Removes an ended build from the history. Raises NotThere and NotEnded."""
        await self._with_history(lambda _, supervisor: supervisor.forget(id))
        await self._run_round()

    async def record(self, id: str) -> Record:
        """Returns the record of a build. Raises NotThere."""
        if active := self._active.get(id):
            return active
        return await self._with_history(lambda history, _: history.get(id))

    async def recent(self, limit: int) -> dict[str, Any]:
        """Returns the object `Builds` of openapi.yaml: the newest builds, and the number of all."""
        records, total = await self._with_history(lambda history, _: (history.recent(limit), history.count()))
        # In a thread: the commands of a thousand builds take some hundred milliseconds.
        return {"builds": await asyncio.to_thread(lambda: list(map(self.view, records))), "total": total}

    def view(self, record: Record) -> dict[str, Any]:
        """Returns the JSON object of a build for clients."""
        return serializers.build(record, self._waiting, process_tree.uptime())

    def follow(self, id: str, closed: asyncio.Future[None]) -> BuildFeed:
        """Returns the feed for one stream of a build's events. A wait of the feed ends when `closed` is done."""
        self.watch()
        return BuildFeed(self, id, self._notifiers.setdefault(id, Notifier()), self._event_log(id), closed)

    async def updates(self, seqs: Mapping[str, int]) -> dict[str, Any]:
        """Returns the object `Updates` of openapi.yaml: the builds of `seqs` with new events, and others."""
        self.watch()
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def feed_of(id: str) -> BuildFeed:
            return self.follow((await self.record(id)).id, closed)

        found = [update async for update in updates(seqs, feed_of)]
        records = await self._with_history(lambda history, _: history.active())
        return {"updates": found, "others": [self.view(record) for record in records if record.id not in seqs]}

    def watch(self) -> None:
        """Runs rounds of the supervisor in a task until no build waits or runs."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    def resume(self) -> None:
        """Watches the builds of an earlier server, if there was one."""
        if (self._folder / "history.sqlite").exists():
            self.watch()

    @property
    def active_count(self) -> int:
        """The number of builds that waited or ran after the last round."""
        return len(self._active)

    async def close(self) -> None:
        """Closes the history. The builds continue."""
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

    async def _with_history(self, work: Callable[[BuildHistory, Supervisor], T]) -> T:
        """Calls `work` in the thread of the history and returns its result. The first call opens the history."""

        def opened() -> T:
            if self._opened is None:
                history = BuildHistory(self._folder / "history.sqlite")
                private_folder(self._folder / "builds", "opening the history")
                self._opened = history, Supervisor(history, self._folder / "builds", self._settings, self._clock)
            return work(*self._opened)

        return await asyncio.get_running_loop().run_in_executor(self._thread, opened)

    async def _is_up_to_date(self, request: BuildRequest, key: str, record: Record) -> bool:
        if not up_to_date.applies(request):
            return False
        try:
            async with asyncio.timeout(REGISTRY_SECONDS):
                memory = await asyncio.to_thread(_recall, request, key)
        except (TimeoutError, CondaBuildError):
            return False
        return memory is not None and memory.finished.digest == (record.ending or {}).get("digest")

    async def _watch(self) -> None:
        while True:
            try:
                if not await self._run_round():
                    return
            except (CondaBuildError, OSError, sqlite3.Error) as error:
                self._log.warning("The builds cannot be supervised now, trying again: %s", error)
            await asyncio.sleep(ROUND_SECONDS)

    async def _run_round(self) -> bool:
        """Runs one round of the supervisor and wakes the feeds of the builds that changed.

        Returns whether any build waits or runs.
        """

        def work(_: BuildHistory, supervisor: Supervisor) -> tuple[list[Record], dict[str, int]]:
            records = supervisor.round()
            return records, {record.id: self._event_log(record.id).size for record in records}

        records, sizes = await self._with_history(work)
        active = {record.id: record for record in records}
        for id in list(self._notifiers):
            changed = active.get(id) != self._active.get(id) or sizes.get(id) != self._sizes.get(id)
            if changed or (id in active and active[id].state == "queued" and list(active) != list(self._active)):
                self._notifiers[id].notify()
            if id not in active:
                del self._notifiers[id]
        self._active, self._sizes = active, sizes
        if active:
            self._on_activity()
        return bool(active)


class BuildFeed:
    """The feed of one reader of a build's events (implements `stream.Feed`)."""

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
        """A number that changes whenever the build changes or writes events."""
        return self._notifier.version

    async def view(self) -> View:
        """Returns the current state of the build."""
        record = await self._builds.record(self._id)
        ending = record.ending if record.state not in ("queued", "running") else None
        return View(self._builds.view(record), ending)

    async def offset_after(self, seq: int) -> int:
        """Returns the offset of the first event after the event `seq`, in bytes."""
        return await asyncio.to_thread(self._event_log.offset_after, seq) if seq else 0

    async def read(self, offset: int) -> tuple[list[Line], int]:
        """Returns events from `offset` on, and the offset of the next event."""
        return await asyncio.to_thread(self._event_log.read, offset)

    async def wait(self, version: int, seconds: float) -> bool:
        """Waits for a change after `version`. Returns False if there was none within `seconds`."""
        return await self._notifier.wait(version, seconds, self._closed)


def _key(command: str, request: Request, text: str) -> str:
    """Returns the key of a build: equal for equal requests as long as the files behind the requests do not change."""
    if isinstance(request, ImageRequest):
        text = up_to_date.identity(request)
    if command == "build":
        return text  # the local store keeps the memory of a build under this identity
    return hashlib.sha256(f"{command}\0{text}".encode("utf-8", "surrogateescape")).hexdigest()


def _recall(request: BuildRequest, key: str) -> up_to_date.Memory | None:
    with open_job(request, lambda event: None) as job:
        return up_to_date.recall(request, key, job)
