"""Whatever ends a build in the middle, the store is sound, nothing half-made can be seen, and the next build works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.oci.layout import Store
from tests.parts.command_line import CommandLine
from tests.parts.image_tree import SavedImage
from tests.parts.registry.faults import FakeRegistry, Reply, Seen


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def base(small_base: str) -> tuple[str, ...]:
    return ("--base", small_base)


def events_until(process: subprocess.Popen[str], **wanted: Any) -> list[dict[str, Any]]:
    """The events up to the first with these members."""
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if wanted.items() <= seen[-1].items():
            return seen
    pytest.fail(f"no event {wanted} among {[(event['type'], event.get('name')) for event in seen]}")


@pytest.fixture
def started(run: CommandLine) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that end with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def leftovers(run: CommandLine) -> list[Path]:
    return list((run.store / "tmp").iterdir())


MOMENTS = [
    {"type": "phase", "name": "snapshot", "state": "started"},
    {"type": "phase", "name": "link", "state": "started"},
    {"type": "phase", "name": "link", "state": "done"},
    {"type": "layer", "state": "built"},
    {"type": "phase", "name": "layers", "state": "done"},
    {"type": "phase", "name": "export", "state": "started"},
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: "-".join(map(str, list(moment.values())[1:])))
def test_a_killed_build_is_made_good_by_the_next(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    rattler_image: SavedImage,
    moment: dict[str, str],
) -> None:
    """SIGKILL, at any moment: no archive, no process left, and then the image as it should be."""
    arguments = ("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl")
    process = run.start(*arguments)
    started.append(process)
    events_until(process, **moment)
    process.kill()
    process.wait()
    assert not (run.folder / "image.tar").exists()
    done = run(*arguments)
    assert done.status == 0, done.err
    assert SavedImage(run.folder / "image.tar").digest == rattler_image.digest
    with Store(run.store):  # a writer may have outlived its leader for a moment
        assert leftovers(run) == []
    for blob in (run.store / "blobs/sha256").iterdir():
        assert subprocess.run(["sha256sum", blob], capture_output=True, text=True).stdout.split()[0] == blob.name


class Gate:
    """A registry's guard that keeps requests waiting, once, and says when the first has come."""

    def __init__(self, registry: FakeRegistry, method: str, part: str) -> None:
        self.reached = threading.Event()
        self._wanted = (method, part)
        registry.guard = self

    def __call__(self, seen: Seen) -> Reply | None:
        method, part = self._wanted
        if seen.method != method or part not in seen.path:
            return None
        self.reached.set()
        return Reply(hang=True)


@pytest.mark.parametrize(("method", "part"), [("PUT", "uploads"), ("POST", "uploads"), ("PUT", "manifests")])
def test_a_push_that_is_killed_shows_nothing(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    fake_registry: FakeRegistry,
    method: str,
    part: str,
) -> None:
    """Under the tag there is nothing, or what was there before; the next build sends what is missing."""
    gate = Gate(fake_registry, method, part)
    arguments = ("build", rattler_prefix, "-t", f"{fake_registry.host}/team/env:v1", "--push", *base, "--json")
    process = run.start(*arguments)
    started.append(process)
    assert gate.reached.wait(120)
    process.kill()
    process.wait()
    assert fake_registry.manifests == {}
    fake_registry.guard = lambda seen: None
    fake_registry.ending.set()
    done = run(*arguments)
    assert done.status == 0, done.err
    assert done.json["digest"] in fake_registry.manifests["team/env"]
    assert [name for name in fake_registry.manifests["team/env"] if "sha256" not in name] == ["v1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_build_leaves_nothing(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    number: signal.Signals,
) -> None:
    """Ctrl-C or a server's cancel: status 130, one last event, no partial file, no traceback, no process."""
    arguments = run.command("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl")
    process = subprocess.Popen(
        arguments, env=run.environ, cwd=run.folder, process_group=0, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    started.append(process)
    events_until(process, type="layer", state="built")
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert json.loads(out.splitlines()[-1])["type"] == "cancelled"
    assert leftovers(run) == []
    assert {path.name for path in run.folder.iterdir()} == {"home", "store"}


def test_two_builds_share_a_store(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    rattler_image: SavedImage,
) -> None:
    """At the same time, of the same environment: both are right."""
    for number in range(2):
        started.append(run.start("build", rattler_prefix, "-o", f"{number}.tar", *base, "--json"))
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert json.loads(out)["digest"] == rattler_image.digest
    assert leftovers(run) == []
    assert SavedImage(run.folder / "0.tar").tree() == SavedImage(run.folder / "1.tar").tree() == rattler_image.tree()


def test_prune_waits_for_no_build_and_takes_nothing_from_it(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    fake_registry: FakeRegistry,
) -> None:
    """It is refused while one runs, and works afterwards."""
    gate = Gate(fake_registry, "PUT", "uploads")
    arguments = ("build", rattler_prefix, "-t", f"{fake_registry.host}/team/env:v1", "--push", *base)
    process = run.start(*arguments)
    started.append(process)
    assert gate.reached.wait(120)
    refused = run("prune", "--keep-bytes", "0", "--events", "jsonl")
    assert (refused.status, refused.events[-1]["code"]) == (1, "store_busy")
    assert "A build is using the store" in refused.events[-1]["message"]
    fake_registry.guard = lambda seen: None
    fake_registry.ending.set()
    assert process.wait(120) == 0
    freed = run("prune", "--keep-bytes", "0", "--json").json
    assert freed["left"] == 0
    assert freed["freed"] > 1_000_000


def test_prune_keeps_what_the_last_build_used(run: CommandLine, base: tuple[str, ...], rattler_prefix: Path) -> None:
    """The store keeps as much as it may. A later build makes the rest again, and gives the same image."""
    arguments = ("build", rattler_prefix, "-o", "image.tar", *base, "--json")
    first = run(*arguments).json
    size = sum(path.stat().st_size for path in (run.folder / "store/blobs").rglob("*") if path.is_file())
    pruned = run("prune", "--keep-bytes", str(size - 1), "--json").json
    assert 0 < pruned["left"] < size
    again = run(*arguments).json
    assert again["digest"] == first["digest"]
    assert 1 < again["layers_reused"] < again["layers"]


def test_a_damaged_blob_is_noticed_and_made_again(
    run: CommandLine, base: tuple[str, ...], rattler_prefix: Path
) -> None:
    """The build that meets it fails with its name; the one after works."""
    arguments = ("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl")
    first = run(*arguments).events[-1]
    largest = max((run.store / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    (run.folder / "image.tar").unlink()
    failed = run(*arguments)
    assert (failed.status, failed.events[-1]["code"]) == (1, "content_mismatch")
    assert "damaged" in failed.events[-1]["message"]
    assert "Try again" in failed.events[-1]["hint"]
    assert not (run.folder / "image.tar").exists()
    assert run(*arguments).events[-1]["digest"] == first["digest"]


@pytest.mark.parametrize("what", ["store", "archive"])
def test_a_full_disk_has_a_name(
    run: CommandLine, base: tuple[str, ...], rattler_prefix: Path, small_disk: Path, what: str
) -> None:
    """Wherever it is; nothing half-written stays there, and with room the build works."""
    out = small_disk / "image.tar" if what == "archive" else run.folder / "image.tar"
    environ = {"CONDABUILD_STORE_DIR": str(small_disk / "store")} if what == "store" else {}
    done = run("build", rattler_prefix, "-o", out, *base, "--events", "jsonl", environ=environ)
    assert (done.status, done.events[-1]["code"]) == (1, "disk_full")
    assert done.events[-1]["hint"]
    assert not out.exists()
    assert [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size > 500_000] == []
    again = run("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl")
    assert again.status == 0, again.err


def test_a_store_that_is_read_only_has_a_name(
    run: CommandLine, base: tuple[str, ...], rattler_prefix: Path, small_disk: Path
) -> None:
    """And a hint what to do."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    environ = {"CONDABUILD_STORE_DIR": str(small_disk / "store")}
    done = run("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl", environ=environ)
    assert (done.status, done.events[-1]["code"]) == (1, "store_unwritable")
    assert "CONDABUILD_STORE_DIR" in done.events[-1]["hint"]
