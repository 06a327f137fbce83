"""After any interruption of a build, the store is valid, no partial result is visible, and the next build works."""

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
from tests.parts.command_line import LIMIT, CommandLine
from tests.parts.image_tree import SavedImage
from tests.parts.registry.faults import FakeRegistry, Reply, Seen


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def base(small_base: str) -> tuple[str, ...]:
    return ("--base", small_base)


def events_until(process: subprocess.Popen[str], **wanted: Any) -> list[dict[str, Any]]:
    """Returns the events up to the first event with these members."""
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if wanted.items() <= seen[-1].items():
            return seen
    pytest.fail(f"there is no event {wanted} in {[(event['type'], event.get('name')) for event in seen]}")


@pytest.fixture
def started(run: CommandLine) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that end with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def members(moment: dict[str, str]) -> list[str]:
    """Returns the members of an event in the form of its line."""
    return [f'"{name}": "{value}"' for name, value in moment.items()]


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
def test_a_build_after_a_killed_build_works(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    rattler_image: SavedImage,
    moment: dict[str, str],
) -> None:
    """After SIGKILL at any moment, there is no archive and no process. The next build makes the right image."""
    arguments = ("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl")
    process = run.start(*arguments, held=members(moment))
    started.append(process)
    events_until(process, **moment)
    process.kill()
    process.wait()
    assert not (run.folder / "image.tar").exists()
    done = run(*arguments)
    assert done.status == 0, done.err
    assert SavedImage(run.folder / "image.tar").digest == rattler_image.digest
    with Store(run.store):  # a writer can live a moment longer than its main process
        assert leftovers(run) == []
    for blob in (run.store / "blobs/sha256").iterdir():
        assert subprocess.run(["sha256sum", blob], capture_output=True, text=True).stdout.split()[0] == blob.name


class Gate:
    """The guard of a registry that makes requests wait once, and reports the first request."""

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
def test_a_killed_push_is_not_visible(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    fake_registry: FakeRegistry,
    method: str,
    part: str,
) -> None:
    """The tag has no image, or the old image. The next build sends the missing blobs."""
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
    """After Ctrl-C or a server's cancel, the status is 130 with one last event.

    No partial file and no process is left.
    """
    moment = {"type": "layer", "state": "built"}
    arguments = ("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl")
    process = run.start(*arguments, held=members(moment))
    started.append(process)
    events_until(process, **moment)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=LIMIT)
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
    """Both run at the same time with the same environment, and both give the right image."""
    for number in range(2):
        started.append(run.start("build", rattler_prefix, "-o", f"{number}.tar", *base, "--json"))
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert json.loads(out)["digest"] == rattler_image.digest
    assert leftovers(run) == []
    assert SavedImage(run.folder / "0.tar").tree() == SavedImage(run.folder / "1.tar").tree() == rattler_image.tree()


def test_prune_is_refused_during_a_build(
    run: CommandLine,
    started: list[subprocess.Popen[str]],
    base: tuple[str, ...],
    rattler_prefix: Path,
    fake_registry: FakeRegistry,
) -> None:
    """Prune works after the build."""
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


def test_prune_keeps_blobs_of_the_last_build(run: CommandLine, base: tuple[str, ...], rattler_prefix: Path) -> None:
    """Prune keeps as many blobs as the limit allows.

    The next build makes the others again, and gives the same image.
    """
    arguments = ("build", rattler_prefix, "-o", "image.tar", *base, "--json")
    first = run(*arguments).json
    size = sum(path.stat().st_size for path in (run.folder / "store/blobs").rglob("*") if path.is_file())
    pruned = run("prune", "--keep-bytes", str(size * 9 // 10), "--json").json
    assert 0 < pruned["left"] < size
    again = run(*arguments).json
    assert again["digest"] == first["digest"]
    assert 1 < again["layers_reused"] < again["layers"]


def test_a_damaged_blob_is_found_and_made_again(run: CommandLine, base: tuple[str, ...], rattler_prefix: Path) -> None:
    """The build that reads the blob fails, and names it. The next build works."""
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
def test_a_full_disk_is_a_named_error(
    run: CommandLine, base: tuple[str, ...], rattler_prefix: Path, small_disk: Path, what: str
) -> None:
    """A full disk is named for each place. No partial file stays there, and the build works when there is space."""
    out = small_disk / "image.tar" if what == "archive" else run.folder / "image.tar"
    environ = {"CONDABUILD_STORE_DIR": str(small_disk / "store")} if what == "store" else {}
    done = run("build", rattler_prefix, "-o", out, *base, "--events", "jsonl", environ=environ)
    assert (done.status, done.events[-1]["code"]) == (1, "disk_full")
    assert done.events[-1]["hint"]
    assert not out.exists()
    assert [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size > 500_000] == []
    again = run("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl")
    assert again.status == 0, again.err


def test_a_read_only_store_is_a_named_error(
    run: CommandLine, base: tuple[str, ...], rattler_prefix: Path, small_disk: Path
) -> None:
    """The error has a hint."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    environ = {"CONDABUILD_STORE_DIR": str(small_disk / "store")}
    done = run("build", rattler_prefix, "-o", "image.tar", *base, "--events", "jsonl", environ=environ)
    assert (done.status, done.events[-1]["code"]) == (1, "store_unwritable")
    assert "CONDABUILD_STORE_DIR" in done.events[-1]["hint"]
