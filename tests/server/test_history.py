"""The history of builds: one file for several servers, with migrations, and safe with a full disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from jupyter_condabuild.errors import DiskFull, NotThere, QueueFull, StoreError
from jupyter_condabuild.server import history
from jupyter_condabuild.server.history import BuildHistory

REQUEST = {"prefix": "/env"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history in a file, whose folder does not exist yet."""
    return tmp_path / "state" / "history.sqlite"


def entered(store: BuildHistory, *ids: str) -> None:
    """Adds builds that wait."""
    for id in ids:
        store.enter(id, f"key-{id}", REQUEST, {}, 1.0, 100)


def test_a_build_passes_from_the_queue_to_its_end(path: Path) -> None:
    """The build is added, claimed, started and ended. Each step happens once."""
    store = BuildHistory(path)
    entered(store, "a", "b")
    assert [record.id for record in store.active()] == ["a", "b"]
    first = store.claim(1, "machine", 2.0, 20.0)
    assert first
    assert (first.id, first.state, first.started, first.started_uptime, first.machine) == (
        "a",
        "running",
        2.0,
        20.0,
        "machine",
    )
    assert store.claim(1, "machine", 2.0, 20.0) is None
    store.started("a", 123)
    assert store.end("a", "finished", {"type": "finished", "seq": 9}, 3.0, 1.0)
    assert not store.end("a", "failed", {"type": "failed", "seq": 9}, 4.0, 2.0)
    done = store.get("a")
    assert (done.state, done.pid, done.ended, done.seconds) == ("finished", 123, 3.0, 1.0)
    assert done.ending == {"type": "finished", "seq": 9}
    assert store.finished("key-a") == done
    assert [record.id for record in store.recent(10)] == ["b", "a"]
    assert ([record.id for record in store.recent(1)], store.count()) == (["b"], 2)
    with pytest.raises(NotThere):
        store.get("c")


def test_the_same_build_is_added_once_while_it_runs(path: Path) -> None:
    """A build that is being cancelled is not joined. The queue has a limit."""
    store = BuildHistory(path)
    assert store.enter("a", "key", REQUEST, {}, 1.0, 2).id == "a"
    assert store.enter("b", "key", REQUEST, {}, 1.0, 2).id == "a"
    store.claim(1, "machine", 2.0, 20.0)
    assert store.enter("b", "key", REQUEST, {}, 1.0, 2).id == "a"
    assert store.request_stop("a", 21.0, {"type": "cancelled", "seq": 1}, 2.0).stop_uptime == 21.0
    assert store.request_stop("a", 99.0, {"type": "failed", "seq": 1}, 2.0).stop_uptime == 21.0
    assert store.enter("b", "key", REQUEST, {}, 1.0, 2).id == "b"
    with pytest.raises(QueueFull):
        store.enter("c", "other", REQUEST, {}, 1.0, 2)
    assert store.request_stop("b", 22.0, {"type": "cancelled", "seq": 1}, 3.0).state == "cancelled"
    store.end("a", "cancelled", {"type": "cancelled", "seq": 4}, 4.0, 2.0)
    assert store.request_stop("a", 30.0, {"type": "cancelled", "seq": 1}, 5.0).ended == 4.0


CROWD = """
import sys
from contextlib import closing, suppress
from pathlib import Path
from jupyter_condabuild.server.history import BuildHistory
store = BuildHistory(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    print(store.enter(f"{sys.argv[2]}-{number}", f"key-{number}", {}, {}, 1.0, 1000).id)
while record := store.claim(1000, "machine", 1.0, 1.0):
    print("claimed", record.id)
"""


def test_two_servers_with_one_file_share_every_step(path: Path) -> None:
    """A hundred builds that both servers add at the same time are a hundred builds. One server claims each build."""
    pipe = subprocess.PIPE
    servers = [
        subprocess.Popen([sys.executable, "-c", CROWD, path, name], stdin=pipe, stdout=pipe, text=True) for name in "ab"
    ]
    for server in servers:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
    for server in servers:
        assert server.stdin
        server.stdin.write("\n")
        server.stdin.flush()
    lines = [server.communicate(timeout=120)[0].splitlines() for server in servers]
    assert [server.returncode for server in servers] == [0, 0]
    claimed = [line for line in lines[0] + lines[1] if line.startswith("claimed")]
    assert len(claimed) == len(set(claimed)) == 100
    assert lines[0][:100] == lines[1][:100]
    store = BuildHistory(path)
    assert store._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_the_file_works_on_a_network_file_system(path: Path) -> None:
    """SQLite's write-ahead log does not work there.

    The file has a rollback journal, even if an earlier release made it.
    """
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as earlier:
        assert earlier.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"
    for _ in range(2):
        store = BuildHistory(path)
        assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "truncate"
        entered(store, "a")
        store.close()
    assert not [file for file in path.parent.iterdir() if file.name.endswith(("-wal", "-shm"))]


def test_an_older_file_is_migrated_and_a_newer_one_is_not_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each migration runs once, in order, and the rows of the file are kept."""
    store = BuildHistory(path)
    entered(store, "a")
    store.close()
    added = "ALTER TABLE builds ADD COLUMN note TEXT; UPDATE builds SET note = 'old'"
    monkeypatch.setattr(history, "MIGRATIONS", (*history.MIGRATIONS, added))
    for _ in range(2):
        newer = BuildHistory(path)
        assert newer.get("a").state == "queued"
        assert newer._connection.execute("SELECT note FROM builds").fetchall()[0][0] == "old"
        newer.close()
    monkeypatch.undo()
    with pytest.raises(StoreError, match="newer"):
        BuildHistory(path)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0] == len(history.MIGRATIONS) + 1


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    """The error has a hint."""
    path.parent.mkdir()
    path.write_bytes(b"not a database, not even nearly" * 100)
    with pytest.raises(StoreError, match=str(path)) as caught:
        BuildHistory(path)
    assert "state_dir" in caught.value.hint


def fill(folder: Path) -> None:
    """Fills the disk."""
    with (folder / f"data-{len(list(folder.iterdir()))}").open("wb", buffering=0) as data, suppress(OSError):
        while data.write(b"x" * 4096):
            pass


def test_the_end_of_a_build_can_be_recorded_on_a_full_disk(small_disk: Path) -> None:
    """There is reserved space for it. If this is used up, the error is named, and the existing rows can be read."""
    store = BuildHistory(small_disk / "history.sqlite")
    entered(store, "a", "b")
    store.claim(1, "machine", 2.0, 20.0)
    fill(small_disk)
    assert store.end("a", "failed", {"type": "failed", "seq": 1, "message": "x" * 20_000}, 3.0, 1.0)
    assert store.get("a").state == "failed"
    fill(small_disk)
    with pytest.raises(DiskFull):
        store.enter("c", "key", {"prefix": "x" * 1_000_000}, {}, 1.0, 100)
    assert [record.id for record in store.recent(10)] == ["b", "a"]
    assert store._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    store.close()
    with suppress(StoreError):
        assert [record.id for record in BuildHistory(small_disk / "history.sqlite").recent(10)] == ["b", "a"]


def test_no_other_user_can_read_the_history(path: Path) -> None:
    """The file, the reserve and the folder are private, even if an earlier version made them readable."""
    before = os.umask(0)
    try:
        for _ in range(2):
            with closing(BuildHistory(path)) as store:
                entered(store, "a")
            assert path.parent.stat().st_mode & 0o777 == 0o700
            for file in path.parent.iterdir():
                assert file.stat().st_mode & 0o777 == 0o600, file
                file.chmod(0o644)
            path.parent.chmod(0o755)
    finally:
        os.umask(before)
