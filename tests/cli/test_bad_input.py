"""Bad input gives a named error with a hint, no traceback and no partial result, and the next run works."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.channel import channel as channels
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.channel import Channel
from tests.parts.command_line import CommandLine, Done
from tests.parts.registry.faults import FakeRegistry, Reply


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """The command line with an empty store and its own package cache."""
    return CommandLine(tmp_path)


@pytest.fixture
def own_prefix(tmp_path: Path, channel: Channel) -> Iterator[tuple[Path, Channel, Path]]:
    """A small prefix from a copy of the channel, and its package cache. Tests can damage them."""
    copy = Channel(Path(shutil.copytree(channel.folder, tmp_path / "channel")))
    with channels.serve(copy) as url:
        cache = tmp_path / "pkgs"
        made = prefixes.create(tmp_path / "env", ["plaindata", "greet", "changing=1.0"], url, cache)
        yield made, copy, cache


def failure(done: Done, code: str) -> dict[str, str]:
    """Returns the `failed` event of a command. It must be the last event, with this code and a hint."""
    assert done.status == 1, done.err
    last = done.events[-1]
    assert (last["type"], last["code"]) == ("failed", code), last
    assert last["message"]
    assert last["hint"]
    return last


def build(run: CommandLine, source: Path, base_archive: Path, *more: str) -> Done:
    """Builds into an archive, and prints events."""
    return run("build", source, "-o", "x.tar", "--base", f"oci-archive:{base_archive}", "--events", "jsonl", *more)


def test_a_folder_that_is_no_environment(run: CommandLine, base_archive: Path) -> None:
    """The message names the folder."""
    assert "nowhere" in failure(build(run, Path("nowhere"), base_archive), "not_a_prefix")["message"]


@pytest.mark.parametrize("text", ["", "{", '{"name": "x"}', "[]", '{"name": "x", "version": "1", "build": "../../x"}'])
def test_a_broken_or_half_written_record(
    run: CommandLine, own_prefix: tuple[Path, Channel, Path], base_archive: Path, text: str
) -> None:
    """The message names the file in conda-meta."""
    prefix, _, _ = own_prefix
    (prefix / "conda-meta/x-1-0.json").write_text(text)
    assert "x-1-0.json" in failure(build(run, prefix, base_archive), "broken_record")["message"]


def test_a_package_in_neither_cache_nor_channel_is_copied_from_the_prefix(
    run: CommandLine, own_prefix: tuple[Path, Channel, Path], base_archive: Path
) -> None:
    """From an environment, the package is copied, and a message says so. From a lock file, it is a named error."""
    prefix, channel, cache = own_prefix
    run("lock", prefix, "-o", "conda-lock.yml")
    shutil.rmtree(cache)
    next(channel.folder.rglob("plaindata-*.conda")).unlink()
    done = build(run, prefix, base_archive)
    assert done.status == 0, done.err
    said = [event["message"] for event in done.events if event.get("code") == "taken-from-prefix"]
    assert said
    assert "plaindata" in said[0]
    lost = run(
        *("build", "--lockfile", "conda-lock.yml", "-o", "y.tar", "--base", f"oci-archive:{base_archive}"),
        *("--events", "jsonl"),
        environ={"CONDABUILD_STORE_DIR": str(run.folder / "other-store")},
    )
    assert "plaindata" in failure(lost, "package_not_found")["message"]
    assert not (run.folder / "y.tar").exists()
    strict = build(run, prefix, base_archive, "--strict")
    assert failure(strict, "not_reproducible")


def test_a_package_whose_archive_has_another_hash(
    run: CommandLine, own_prefix: tuple[Path, Channel, Path], base_archive: Path
) -> None:
    """The archive in the channel differs from the lock file, so it is not used."""
    prefix, channel, cache = own_prefix
    run("lock", prefix, "-o", "conda-lock.yml")
    shutil.rmtree(cache)
    archive = next(channel.folder.rglob("plaindata-*.conda"))
    data = bytearray(archive.read_bytes())
    data[-30] ^= 1
    archive.write_bytes(data)
    done = run(
        *("build", "--lockfile", "conda-lock.yml", "-o", "x.tar", "--base", f"oci-archive:{base_archive}"),
        *("--events", "jsonl"),
    )
    assert "plaindata" in failure(done, "package_mismatch")["message"]
    assert not (run.folder / "x.tar").exists()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "registry_unauthorized"),
        (403, "registry_denied"),
        (404, "registry_not_found"),
        (413, "registry_too_large"),
        (429, "registry_busy"),
        (500, "registry_fault"),
        (503, "registry_fault"),
    ],
)
def test_a_registry_that_refuses_an_upload(
    run: CommandLine,
    own_prefix: tuple[Path, Channel, Path],
    base_archive: Path,
    fake_registry: FakeRegistry,
    status: int,
    code: str,
) -> None:
    """The error has the registry's status, and no manifest is pushed.

    With a working registry, the next run succeeds.
    """
    prefix, _, _ = own_prefix
    refusal = [Reply(status, headers={"Retry-After": "0"})] * 200
    fake_registry.on("POST", "/v2/team/env/blobs/uploads/", *refusal)
    image = f"{fake_registry.host}/team/env:1"
    arguments = ("build", prefix, "-t", image, "--push", "--base", f"oci-archive:{base_archive}", "--events", "jsonl")
    failure(run(*arguments), code)
    assert fake_registry.times("PUT", "/v2/team/env/manifests/1") == 0


def test_a_registry_that_does_not_exist(run: CommandLine, rattler_prefix: Path, base_archive: Path) -> None:
    """A refused connection is a named error with the registry's name, without minutes of retries."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    done = run(
        *("build", rattler_prefix, "-t", f"{host}/x:1", "--push", "--base", f"oci-archive:{base_archive}"),
        *("--events", "jsonl"),
    )
    assert host in failure(done, "registry_unreachable")["message"]


@pytest.mark.parametrize("base", ["oci-archive:no-such.tar", "localhost:1/no/base:1", "docker-daemon:no-such-image:1"])
def test_a_base_that_is_not_available(run: CommandLine, rattler_prefix: Path, base: str) -> None:
    """The message names the base, and the hint names other kinds of bases."""
    done = run("build", rattler_prefix, "-o", "x.tar", "--base", base, "--events", "jsonl")
    assert base in failure(done, "base_unavailable")["message"]
    assert not (run.folder / "x.tar").exists()


def test_a_layer_that_a_registry_lost_is_built_and_no_warning_is_repeated(
    run: CommandLine, own_prefix: tuple[Path, Channel, Path], base_archive: Path, fake_registry: FakeRegistry
) -> None:
    """The build starts again, and reports only new warnings."""
    prefix, *_ = own_prefix
    (prefix / "share/untracked").write_text("x")
    words = ("build", prefix, "--push", "--base", f"oci-archive:{base_archive}", "--events", "jsonl")
    made = run(*words, "-t", f"{fake_registry.host}/team/env:v1")
    assert made.status == 0
    manifest = json.loads(fake_registry.manifests["team/env"]["v1"][1])
    del fake_registry.blobs["team/env"][manifest["layers"][-2]["digest"]]
    shutil.rmtree(run.store)
    done = run(*words, "-t", f"{fake_registry.host}/team/other:v1", "--cache-from", f"{fake_registry.host}/team/env:v1")
    assert done.status == 0
    warnings = [event["code"] for event in done.events if event["type"] == "warning"]
    assert "blob-gone" in warnings
    assert "untracked-files" in warnings
    assert len(warnings) == len(set(warnings))


@pytest.mark.parametrize("reference", ["", "Upper/Case:1", "host/x:bad tag", "host:99999999/x", "x@sha256:12", "a\nb"])
def test_a_name_that_is_no_reference(run: CommandLine, rattler_prefix: Path, reference: str) -> None:
    """The name is checked before anything is read or built."""
    done = run("build", rattler_prefix, "-t", reference, "--push", "--events", "jsonl")
    assert done.status in (1, 2)
    assert done.events[-1]["code"] in ("bad_reference", "bad_digest", "usage")
    assert len(done.events) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(run: CommandLine, rattler_prefix: Path, base_archive: Path, small_disk: Path) -> None:
    """A full store is a named error. It works again when there is space."""
    environ = {"CONDABUILD_STORE_DIR": str(small_disk / "store")}
    arguments = ("build", rattler_prefix, "-o", "x.tar", "--base", f"oci-archive:{base_archive}", "--events", "jsonl")
    failure(run(*arguments, environ=environ), "disk_full")
    assert not (run.folder / "x.tar").exists()
    subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
    assert run(*arguments, environ=environ).status == 0


def test_an_archive_on_a_full_disk(
    run: CommandLine, rattler_prefix: Path, base_archive: Path, small_disk: Path
) -> None:
    """The existing archive is not changed."""
    target = small_disk / "x.tar"
    target.write_text("older")
    done = run(
        *("build", rattler_prefix, "-o", target, "--base", f"oci-archive:{base_archive}", "--events", "jsonl"),
    )
    failure(done, "disk_full")
    assert target.read_text() == "older"
    assert os.listdir(small_disk) == ["x.tar"]


def test_a_store_that_cannot_be_written(
    run: CommandLine, rattler_prefix: Path, base_archive: Path, small_disk: Path
) -> None:
    """A read-only store is a named error with the folder and the setting. Another folder is not the store."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = run(
        *("build", rattler_prefix, "-o", "x.tar", "--base", f"oci-archive:{base_archive}", "--events", "jsonl"),
        environ={"CONDABUILD_STORE_DIR": str(small_disk / "store")},
    )
    event = failure(done, "store_unwritable")
    assert str(small_disk) in event["message"]
    assert "store_dir" in event["hint"]
    done = run("lock", rattler_prefix, "-o", small_disk / "lock.yml", "--events", "jsonl")
    event = failure(done, "store_unwritable")
    assert (str(small_disk) in event["message"], "store_dir" in event["hint"]) == (True, False)
    done = run(
        *("build", rattler_prefix, "-o", small_disk / "x.tar"),
        *("--base", f"oci-archive:{base_archive}", "--events", "jsonl"),
    )
    assert failure(done, "store_unwritable")["hint"] == "Name a file in another folder with -o."


@pytest.mark.parametrize("text", ["", "hello", "version: 7\nmetadata: {}\npackage: []", "@EXPLICIT\nhttps://x/y"])
def test_a_file_that_is_no_lock_file(run: CommandLine, base_archive: Path, text: str) -> None:
    """The message names the file."""
    (run.folder / "lock").write_text(text)
    done = run(
        "build", "--lockfile", "lock", "-o", "x.tar", "--base", f"oci-archive:{base_archive}", "--events", "jsonl"
    )
    assert failure(done, "bad_lockfile")


NO_THREADS = """
import sys, threading
from jupyter_condabuild import cli

def refuse(thread):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refuse
cli.main(sys.argv[1:])
"""
"""The command line on a machine that starts no thread, as with a limit of processes."""


def test_a_machine_that_starts_no_thread(run: CommandLine, rattler_prefix: Path) -> None:
    """The limit is that of a container or of an account. The error names it, and is no bug of the program."""
    command = [sys.executable, "-c", NO_THREADS, "build", str(rattler_prefix), "-o", "x.tar", "--base", "oci-archive:x"]
    done = subprocess.run(command, env=run.environ, cwd=run.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot start another thread" in done.stderr
    assert "ulimit -u" in done.stderr
    assert "bug" not in done.stderr
