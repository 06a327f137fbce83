"""The inputs of a build: the lock file of an environment or of a file, for one platform."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LockfileError, UsageError
from jupyter_condabuild.events import Event, Log
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.requests.job_context import open_job
from tests.parts.builds import install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import plan_request


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment with one package, which is for any platform."""
    channel = small_channel(tmp_path / "channel", [(Metadata("data", "1", noarch="generic"), [File("share/x", b"x")])])
    return install(tmp_path / "env", channel, "data")


@pytest.fixture
def lockfile(prefix: Path, tmp_path: Path) -> Path:
    """A lock file for two Linux platforms and for macOS."""
    platforms = ["linux-64", "linux-aarch64", "osx-arm64"]
    locked = lock(snapshot(prefix))
    packages = [{"conda": package.url, "sha256": package.sha256} for package in locked.conda]
    default = {"packages": {platform: [{"conda": package["conda"]} for package in packages] for platform in platforms}}
    path = tmp_path / "pixi.lock"
    path.write_text(json.dumps({"version": 6, "environments": {"default": default}, "packages": packages}))
    return path


def read(tmp_path: Path, **request: object) -> tuple[Inputs, list[str]]:
    """Returns the inputs of a request, and the log."""
    events: list[Event] = []
    asked = plan_request(store_dir=tmp_path / "store", **request)
    with open_job(asked, events.append) as job:
        return read_inputs(asked, job), [event.text for event in events if isinstance(event, Log)]


def test_the_log_names_the_chosen_platform(lockfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is for the processor of this platform."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    inputs, log = read(tmp_path, lockfile=lockfile)
    assert (inputs.lockfile.platform, inputs.architecture) == ("linux-64", "amd64")
    assert log == [f"{lockfile} is for linux-64, linux-aarch64, osx-arm64: linux-64 is used."]
    inputs, log = read(tmp_path, lockfile=lockfile, platform="linux-aarch64")
    assert (inputs.lockfile.platform, inputs.architecture) == ("linux-aarch64", "arm64")
    assert "linux-aarch64 is used" in log[0]
    with pytest.raises(LockfileError, match="container images need"):
        read(tmp_path, lockfile=lockfile, platform="osx-arm64")


def test_a_lock_file_for_one_platform_needs_no_log_line(prefix: Path, tmp_path: Path) -> None:
    """This is so for each Linux platform."""
    path = tmp_path / "conda-lock.yml"
    path.write_text(dump(replace(lock(snapshot(prefix)), platform="linux-aarch64")))
    inputs, log = read(tmp_path, lockfile=path)
    assert (inputs.architecture, log) == ("arm64", [])


def test_an_environment_has_one_platform(prefix: Path, tmp_path: Path) -> None:
    """Another platform is refused, and the message says what to do."""
    assert read(tmp_path, prefix=prefix, platform="linux-64")[0].architecture == "amd64"
    with pytest.raises(UsageError, match="for linux-64, not for linux-aarch64") as failed:
        read(tmp_path, prefix=prefix, platform="linux-aarch64")
    assert "--lockfile" in failed.value.hint
