"""The builds of a user: one SQLite file, shared by all servers on the same home folder.

What happened in a build is in its events file; here is what was asked, what became of it, and how it ended where the
build could not say so itself. Every change is one transaction that checks what it changes, so servers need not know of
each other: whoever is first wins.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from jupyter_condabuild.errors import DiskFull, NotThere, QueueFull, StoreError, from_os_error

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
"""What brings a file from version N to N + 1. Released ones are never changed."""

_RESERVE = 256 << 10
_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class Record:
    """A build as the file has it.

    `command` is that of the command line, `request` the JSON of what it is asked, `asked` what the client said besides:
    kernel and lock file. `created`, `started` and `ended` are seconds since the epoch, for people; `began` and `told`
    (when it was told to end) are uptimes of `machine`; `seconds` is how long it ran. `ending` is the last event,
    `verdict` what that is if the build does not say it itself.
    """

    number: int
    id: str
    key: str
    command: str
    state: State
    request: Mapping[str, Any] = field(hash=False)
    asked: Mapping[str, Any] = field(hash=False)
    created: float
    started: float | None
    ended: float | None
    machine: str | None
    pid: int | None
    began: float | None
    seconds: float | None
    told: float | None
    verdict: Mapping[str, Any] | None = field(hash=False)
    ending: Mapping[str, Any] | None = field(hash=False)


_JSON = ("request", "asked", "verdict", "ending")


class BuildHistory:
    """The open file. To be used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises StoreError where that is not possible."""
        self.path = path
        self._reserve = path.with_name("reserve")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._insist(self._open)
            self._insist(self._migrate)
            if not self._reserve.exists():
                self._reserve.write_bytes(bytes(_RESERVE))
        except OSError as error:
            raise from_os_error(error, "opening the history", path) from None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                # Not WAL: several servers may share a home folder over a network, and WAL needs memory that processes
                # share (https://www.sqlite.org/wal.html, "Disadvantages"). TRUNCATE turns a file in WAL mode back.
                connection.execute("PRAGMA journal_mode = TRUNCATE")
                break
            except sqlite3.OperationalError as error:  # another server makes the file: SQLite does not wait for that
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        return connection

    def _migrate(self) -> None:
        with self._transaction() as execute:
            (version,) = execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"{self.path} was written by a newer jupyter-condabuild.", "Update this one, or set state_dir."
                )
            for number, script in enumerate(MIGRATIONS[version:], version + 1):
                for statement in filter(str.strip, script.split(";")):
                    execute(statement)
                execute(f"PRAGMA user_version = {number}")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _insist(self, work: Callable[[], T]) -> T:
        """Does some work; on a full disk once more, in the place that was kept free for that."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if not _is_full(error) or not self._reserve.exists():
                raise self._named(error) from None
        with suppress(OSError):
            self._reserve.unlink()
        try:
            return work()
        except sqlite3.DatabaseError as error:
            raise self._named(error) from None

    def _named(self, error: sqlite3.Error) -> StoreError:
        if _is_full(error):
            return DiskFull(f"No space left for the history of builds ({self.path}).")
        return StoreError(
            f"The history of builds ({self.path}) cannot be used: {error}.", "Set state_dir, or move the file away."
        )

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite may have ended it itself, on a full disk for one
                self._connection.execute("ROLLBACK")
            raise

    def _write(self, work: Callable[[Callable[..., sqlite3.Cursor]], T]) -> T:
        def once() -> T:
            with self._transaction() as execute:
                return work(execute)

        return self._insist(once)

    def _select(self, query: str, *values: object) -> list[Record]:
        return [_record(row) for row in self._insist(lambda: self._connection.execute(query, values).fetchall())]

    def get(self, id: str) -> Record:
        """One build; raises NotThere."""
        for record in self._select("SELECT * FROM builds WHERE id = ?", id):
            return record
        raise NotThere(
            f"There is no build {id[:100]!r}.", "It may have been forgotten: history_max_builds says how many are kept."
        )

    def recent(self, limit: int) -> list[Record]:
        """The newest first."""
        return self._select("SELECT * FROM builds ORDER BY number DESC LIMIT ?", limit)

    def active(self) -> list[Record]:
        """Those that wait or run, the oldest first."""
        return self._select("SELECT * FROM builds WHERE state IN ('queued', 'running') ORDER BY number")

    def ended(self) -> list[Record]:
        """The others, the newest first."""
        return self._select("SELECT * FROM builds WHERE state NOT IN ('queued', 'running') ORDER BY number DESC")

    def finished(self, key: str) -> Record | None:
        """The last finished build of a key, unless a later one of that key came to another end."""
        for record in self._select("SELECT * FROM builds WHERE key = ? ORDER BY number DESC LIMIT 1", key):
            return record if record.state == "finished" else None
        return None

    def enter(
        self,
        id: str,
        key: str,
        request: Mapping[str, Any],
        asked: Mapping[str, Any],
        now: float,
        limit: int,
        command: str = "build",
    ) -> Record:
        """A new build at the end of the queue, or the living one of the same key; raises QueueFull.

        Args:
            limit: how many may wait and run.
        """

        def work(execute: Callable[..., sqlite3.Cursor]) -> str:
            found = execute(
                "SELECT id FROM builds WHERE key = ? AND told IS NULL AND state IN ('queued', 'running')", (key,)
            ).fetchone()
            if found:
                return str(found[0])
            (count,) = execute("SELECT count(*) FROM builds WHERE state IN ('queued', 'running')").fetchone()
            if count >= limit:
                raise QueueFull(f"{count} builds are running or waiting already.")
            values = (id, key, command, json.dumps(request), json.dumps(asked), now)
            execute("INSERT INTO builds (id, key, command, request, asked, created) VALUES (?, ?, ?, ?, ?, ?)", values)
            return id

        return self.get(self._write(work))

    def claim(self, running: int, machine: str, now: float, uptime: float) -> Record | None:
        """The build that has waited longest, from now on running and the caller's to start; None where none may.

        Args:
            running: how many may run at once.
        """

        def work(execute: Callable[..., sqlite3.Cursor]) -> str | None:
            (count,) = execute("SELECT count(*) FROM builds WHERE state = 'running'").fetchone()
            found = execute("SELECT id FROM builds WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if count >= running or not found:
                return None
            execute(
                "UPDATE builds SET state = 'running', started = ?, began = ?, machine = ? WHERE id = ?",
                (now, uptime, machine, found[0]),
            )
            return str(found[0])

        # Looked at before it is asked for: a look takes no lock.
        if not self._select("SELECT * FROM builds WHERE state = 'queued' LIMIT 1"):
            return None
        claimed = self._write(work)
        return self.get(claimed) if claimed else None

    def started(self, id: str, pid: int) -> None:
        """A claimed build has a process."""
        self._write(lambda execute: execute("UPDATE builds SET pid = ? WHERE id = ?", (pid, id)))

    def tell(self, id: str, uptime: float, verdict: Mapping[str, Any], now: float) -> Record:
        """Notes that a build is told to end, and how it ends if it does not say so itself; one that waits has ended."""
        text = json.dumps(verdict)

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
        """A running build has ended; False where someone else had seen it first."""
        change = "UPDATE builds SET state = ?, ending = ?, ended = ?, seconds = ? WHERE id = ? AND state = 'running'"
        done = self._write(lambda execute: execute(change, (state, json.dumps(ending), now, seconds, id)))
        return done.rowcount == 1

    def forget(self, id: str) -> None:
        """Removes an ended build."""
        self._write(
            lambda execute: execute("DELETE FROM builds WHERE id = ? AND state NOT IN ('queued', 'running')", (id,))
        )


def _record(row: sqlite3.Row) -> Record:
    values = {name: row[name] for name in Record.__dataclass_fields__}
    return Record(**{**values, **{name: values[name] and json.loads(values[name]) for name in _JSON}})


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "disk is full" in str(error)
