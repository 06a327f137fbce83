"""The history of a user's builds: one SQLite file, shared by all servers on the same home folder.

The events file of a build has what happened in it. The history has what the client asked for, the state of the build,
and its last event if the build could not write one. Each change is one transaction that checks the state that it
changes. So servers need not know each other: the first one makes the change.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from jupyter_condabuild.errors import DiskFull, NotThere, QueueFull, StoreError, from_os_error
from jupyter_condabuild.files import PRIVATE, open_private, private_folder

T = TypeVar("T")

State = Literal["queued", "running", "finished", "failed", "cancelled", "interrupted"]

MIGRATIONS = (
    """
    CREATE TABLE builds (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        key TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued',
        request TEXT NOT NULL,
        asked TEXT NOT NULL,
        created REAL NOT NULL,
        started REAL,
        ended REAL,
        machine TEXT,
        pid INTEGER,
        began REAL,
        seconds REAL,
        told REAL,
        verdict TEXT,
        ending TEXT
    );
    CREATE INDEX builds_by_state ON builds (state, number);
    CREATE INDEX builds_by_key ON builds (key, number);
    """,
    "ALTER TABLE builds ADD COLUMN command TEXT NOT NULL DEFAULT 'build'",
)
"""Migration N brings a file from version N to version N + 1. A released migration never changes."""

_RESERVE_BYTES = 256 << 10
_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class Record:
    """One build in the history.

    Args:
        number: the position in the order of arrival.
        id: 16 hexadecimal digits.
        key: equal for equal builds, see `builds._key`.
        command: the command of the command line.
        state: the state of the build.
        request: the JSON object of the command's request.
        client_members: the members of the REST body that the history keeps as the client wrote them: the kernel, the
            digest of the lock file, and paths relative to the server's root folder.
        created: when the client asked for the build, in seconds since the epoch.
        started: when the build was claimed, in seconds since the epoch.
        ended: when the end of the build was recorded, in seconds since the epoch.
        machine: the machine of the process, see `process_tree.machine`.
        pid: the process number on that machine.
        started_uptime: when the build was claimed, in seconds of the machine's uptime.
        seconds: the duration of the build.
        stop_uptime: when the build was asked to end, in seconds of the uptime; None if it was not.
        stop_event: the event that ends the build if the build was asked to end and does not write its last event.
        ending: the last event; None while the build waits or runs.
    """

    number: int
    id: str
    key: str
    command: str
    state: State
    request: Mapping[str, Any] = field(hash=False)
    client_members: Mapping[str, Any] = field(hash=False)
    created: float
    started: float | None
    ended: float | None
    machine: str | None
    pid: int | None
    started_uptime: float | None
    seconds: float | None
    stop_uptime: float | None
    stop_event: Mapping[str, Any] | None = field(hash=False)
    ending: Mapping[str, Any] | None = field(hash=False)


_COLUMNS = {
    "client_members": "asked",
    "started_uptime": "began",
    "stop_uptime": "told",
    "stop_event": "verdict",
}
"""The columns of the fields of `Record` that have another name in the file."""

_JSON = ("request", "client_members", "stop_event", "ending")


class BuildHistory:
    """The opened file. Only one thread may use it at a time."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or creates it. Raises StoreError."""
        self.path = path
        self._reserve = path.with_name("reserve")
        try:
            private_folder(path.parent, "opening the history")
            for file in (*path.parent.glob(f"{path.name}*"), self._reserve):
                if file.exists():  # an earlier version made it for everybody to read
                    file.chmod(PRIVATE)
            os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))  # SQLite gives its journal the same mode
            self._connection = self._with_reserve(self._open)
            self._with_reserve(self._migrate)
            if not self._reserve.exists():
                with open(self._reserve, "wb", opener=open_private) as reserve:
                    reserve.write(bytes(_RESERVE_BYTES))
        except OSError as error:
            raise from_os_error(error, "opening the history", path) from None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                # Not WAL: several servers may share a home folder over a network, and WAL needs memory that processes
                # share (https://www.sqlite.org/wal.html, "Disadvantages"). TRUNCATE converts a file in WAL mode.
                connection.execute("PRAGMA journal_mode = TRUNCATE")
                break
            except sqlite3.OperationalError as error:
                # Another server creates the file. The timeout of the connection does not apply here.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        return connection

    def _migrate(self) -> None:
        with self._transaction() as execute:
            (version,) = execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"A newer version of jupyter-condabuild wrote the history of builds ({self.path}).",
                    "Update jupyter-condabuild on this server, or set state_dir to another folder.",
                )
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                for statement in filter(str.strip, script.split(";")):
                    execute(statement)
                execute(f"PRAGMA user_version = {number}")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _with_reserve(self, work: Callable[[], T]) -> T:
        """Calls `work`. If the disk is full, deletes the reserve file and calls `work` again. Raises StoreError."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not _is_full(error) or not self._reserve.exists():
                raise self._store_error(error) from None
        with suppress(OSError):
            self._reserve.unlink()
        try:
            return work()
        except sqlite3.DatabaseError as error:
            raise self._store_error(error) from None

    def _store_error(self, error: sqlite3.Error) -> StoreError:
        if _is_full(error):
            return DiskFull(f"No space left for the history of builds ({self.path}).")
        return StoreError(
            f"The history of builds ({self.path}) cannot be used: {error}.",
            "Set state_dir to another folder, or move the file away.",
        )

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite may have rolled back already, for example on a full disk
                self._connection.execute("ROLLBACK")
            raise

    def _write(self, work: Callable[[Callable[..., sqlite3.Cursor]], T]) -> T:
        def in_transaction() -> T:
            with self._transaction() as execute:
                return work(execute)

        return self._with_reserve(in_transaction)

    def _select(self, query: str, *values: object) -> list[Record]:
        return [_record(row) for row in self._with_reserve(lambda: self._connection.execute(query, values).fetchall())]

    def get(self, id: str) -> Record:
        """Returns the record of a build. Raises NotThere."""
        for record in self._select("SELECT * FROM builds WHERE id = ?", id):
            return record
        raise NotThere(
            f"There is no build {id[:100]!r}.",
            "It may have been removed from the history. The setting history_max_builds limits the number of builds.",
        )

    def recent(self, limit: int) -> list[Record]:
        """Returns the newest records, the newest first."""
        return self._select("SELECT * FROM builds ORDER BY number DESC LIMIT ?", limit)

    def count(self) -> int:
        """Returns the number of all records."""
        return int(self._with_reserve(lambda: self._connection.execute("SELECT count(*) FROM builds").fetchone())[0])

    def active(self) -> list[Record]:
        """Returns the builds that wait or run, the oldest first."""
        return self._select("SELECT * FROM builds WHERE state IN ('queued', 'running') ORDER BY number")

    def ended(self) -> list[Record]:
        """Returns the builds that have ended, the newest first."""
        return self._select("SELECT * FROM builds WHERE state NOT IN ('queued', 'running') ORDER BY number DESC")

    def finished(self, key: str) -> Record | None:
        """Returns the newest build of a key if it finished, else None."""
        for record in self._select("SELECT * FROM builds WHERE key = ? ORDER BY number DESC LIMIT 1", key):
            return record if record.state == "finished" else None
        return None

    def enter(
        self,
        id: str,
        key: str,
        request: Mapping[str, Any],
        client_members: Mapping[str, Any],
        now: float,
        limit: int,
        command: str = "build",
    ) -> Record:
        """Adds a build to the end of the queue, or returns the build of the same key that waits or runs.

        A build that was asked to end is not returned.

        Args:
            now: seconds since the epoch.
            limit: the highest number of builds that wait or run.

        Raises:
            QueueFull.
        """

        def work(execute: Callable[..., sqlite3.Cursor]) -> str:
            same = execute(
                "SELECT id FROM builds WHERE key = ? AND told IS NULL AND state IN ('queued', 'running')", (key,)
            ).fetchone()
            if same:
                return str(same[0])
            (count,) = execute("SELECT count(*) FROM builds WHERE state IN ('queued', 'running')").fetchone()
            if count >= limit:
                raise QueueFull(f"{count} builds are running or waiting already.")
            values = (id, key, command, json.dumps(request), json.dumps(client_members), now)
            execute("INSERT INTO builds (id, key, command, request, asked, created) VALUES (?, ?, ?, ?, ?, ?)", values)
            return id

        return self.get(self._write(work))

    def claim(self, max_running: int, machine: str, now: float, uptime: float) -> Record | None:
        """Marks the build that has waited longest as running, and returns it. The caller must start its process.

        Returns None if no build waits, or if `max_running` builds run.

        Args:
            machine: the caller's machine, see `process_tree.machine`.
            now: seconds since the epoch.
            uptime: seconds of the machine's uptime.
        """

        def work(execute: Callable[..., sqlite3.Cursor]) -> str | None:
            (count,) = execute("SELECT count(*) FROM builds WHERE state = 'running'").fetchone()
            first = execute("SELECT id FROM builds WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if count >= max_running or not first:
                return None
            execute(
                "UPDATE builds SET state = 'running', started = ?, began = ?, machine = ? WHERE id = ?",
                (now, uptime, machine, first[0]),
            )
            return str(first[0])

        # A query first: it takes no write lock, and most calls find no build that waits.
        if not self._select("SELECT * FROM builds WHERE state = 'queued' LIMIT 1"):
            return None
        claimed = self._write(work)
        return self.get(claimed) if claimed else None

    def started(self, id: str, pid: int) -> None:
        """Records the process number of a claimed build."""
        self._write(lambda execute: execute("UPDATE builds SET pid = ? WHERE id = ?", (pid, id)))

    def request_stop(self, id: str, uptime: float, stop_event: Mapping[str, Any], now: float) -> Record:
        """Records that a running build is asked to end. A build that waits ends at once, in the state `cancelled`.

        Args:
            uptime: seconds of the machine's uptime.
            stop_event: the last event of the build if the build does not write one.
            now: seconds since the epoch.
        """
        text = json.dumps(stop_event)

        def work(execute: Callable[..., sqlite3.Cursor]) -> None:
            execute(
                "UPDATE builds SET told = ?, verdict = ? WHERE id = ? AND state = 'running' AND told IS NULL",
                (uptime, text, id),
            )
            execute(
                "UPDATE builds SET state = 'cancelled', ending = ?, ended = ? WHERE id = ? AND state = 'queued'",
                (text, now, id),
            )

        self._write(work)
        return self.get(id)

    def end(self, id: str, state: State, ending: Mapping[str, Any], now: float, seconds: float | None) -> bool:
        """Records the end of a running build. Returns False if another server recorded it before."""
        change = "UPDATE builds SET state = ?, ending = ?, ended = ?, seconds = ? WHERE id = ? AND state = 'running'"
        done = self._write(lambda execute: execute(change, (state, json.dumps(ending), now, seconds, id)))
        return done.rowcount == 1

    def forget(self, id: str) -> None:
        """Removes an ended build."""
        self._write(
            lambda execute: execute("DELETE FROM builds WHERE id = ? AND state NOT IN ('queued', 'running')", (id,))
        )


def _record(row: sqlite3.Row) -> Record:
    values = {name: row[_COLUMNS.get(name, name)] for name in Record.__dataclass_fields__}
    return Record(**{**values, **{name: values[name] and json.loads(values[name]) for name in _JSON}})


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "disk is full" in str(error)
