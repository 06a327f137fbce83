"""Failures of a docker build: engines that are killed, stopped or full, and a cancelled build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import DiskFull, EngineFault, EngineUnavailable
from jupyter_condabuild.events import Event, Log
from jupyter_condabuild.oci.engine.daemon import Daemon
from tests.parts.builds import install, small_channel
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import LIMIT
from tests.parts.engines import DockerWorkshop
from tests.parts.own_engines import OwnEngine
from tests.parts.registry.faults import FakeRegistry, Reply, Seen


class At(list[Event]):
    """Records the events of a build. Calls `act` once, when a line of the log contains `words`."""

    def __init__(self, words: str, act: object) -> None:
        super().__init__()
        self._words = words
        self._act = act

    def append(self, event: Event) -> None:
        super().append(event)
        if self._act and isinstance(event, Log) and self._words in event.text:
            act, self._act = self._act, None
            threading.Thread(target=act, daemon=True).start()  # type: ignore[arg-type]


def containers(host: str) -> list[str]:
    """Returns all containers of an engine, running or not."""
    with Daemon.connect(host) as engine:
        return [found["Id"] for found in engine.client.containers(all=True)]


@pytest.fixture
def own_workshop(docker_workshop: DockerWorkshop, own_engine: OwnEngine) -> DockerWorkshop:
    """A workshop with its own engine."""
    docker_workshop.docker_host = own_engine.host
    return docker_workshop


def test_an_engine_that_is_killed_during_a_build_is_named_and_the_next_build_works(
    own_workshop: DockerWorkshop, own_engine: OwnEngine, tmp_path: Path, channel: Channel
) -> None:
    """If the engine is killed during a step, EngineUnavailable is raised.

    After a restart, no container is left, and a build works.
    """
    made = install(tmp_path / "env", channel, "python", "greet")
    own_workshop.events = At("] RUN", own_engine.kill)
    with pytest.raises((EngineUnavailable, EngineFault)):
        own_workshop.build(made, reference=own_workshop.name(), load=True)
    own_engine.start()
    assert containers(own_engine.host) == []
    own_workshop.events = []
    own_workshop.build(made, reference=own_workshop.name(), load=True)
    assert own_workshop.finished.digest.startswith("sha256:")
    assert containers(own_engine.host) == []


def test_an_engine_that_is_stopped_during_a_build_is_named(
    own_workshop: DockerWorkshop, own_engine: OwnEngine, tmp_path: Path, channel: Channel
) -> None:
    """A stop during the build fails with the engine's message, or says that the engine stopped. It never succeeds."""
    made = install(tmp_path / "env", channel, "python", "greet")
    own_workshop.events = At("] RUN", own_engine.process.terminate)
    with pytest.raises((EngineUnavailable, EngineFault)) as caught:
        own_workshop.build(made, reference=own_workshop.name(), load=True)
    assert "Traceback" not in caught.value.message


@pytest.mark.parametrize("own_engine", ["420m"], indirect=True)
def test_a_full_disk_of_the_engine_is_named_and_the_next_build_works(
    own_workshop: DockerWorkshop, own_engine: OwnEngine, tmp_path: Path, channel: Channel
) -> None:
    """DiskFull names the disk of the engine. When there is space again, the same request succeeds."""
    block = [(Metadata("large", "1.0"), [File("share/large", os.urandom(60_000_000))])]
    made = install(tmp_path / "env", small_channel(tmp_path / "large", block), "large")
    ballast = own_engine.folder / "data/ballast"
    with pytest.raises(DiskFull, match="no space left"):
        own_workshop.build(made, reference=own_workshop.name(), load=True)
    assert containers(own_engine.host) == []
    assert not ballast.exists()
    subprocess.run(["mount", "-o", "remount,size=3g", own_engine.folder / "data"], check=True)
    own_workshop.build(made, reference=own_workshop.name(), load=True)
    assert own_workshop.finished.digest.startswith("sha256:")


def test_a_cancelled_build_leaves_nothing(
    docker_workshop: DockerWorkshop,
    own_engine: OwnEngine,
    tmp_path: Path,
    channel_url: str,
    package_cache: Path,
    base_reference: str,
    fake_registry: FakeRegistry,
) -> None:
    """After SIGTERM while pip waits for its index, the exit status is 130, and nothing is left in the engine."""
    asked = threading.Event()

    def guard(seen: Seen) -> Reply:
        asked.set()
        return Reply(hang=True)

    fake_registry.guard = guard
    made = prefix.create(tmp_path / "env", ["python", "pip"], channel_url, package_cache)
    held = PipPackage("held", "1.0", index=f"http://{fake_registry.host}/simple", sha256="0" * 64)
    file = tmp_path / "conda-lock.yml"
    file.write_text(dump(replace(lock(snapshot(made)), pip=(held,))))
    name = docker_workshop.name(what="cancelled")
    command = [sys.executable, "-m", "jupyter_condabuild", "build", "--lockfile", file, "--engine", "docker"]
    command += ["-t", name, "--load", "--events", "jsonl"]
    command += ["--installer", "rattler", "--installer-image", docker_workshop.installer_image]
    environ = {
        **os.environ,
        "DOCKER_HOST": own_engine.host,
        "CONDABUILD_STORE_DIR": str(docker_workshop.store),
        "CONDABUILD_BASE_IMAGE": base_reference,
    }
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:

        def cancel() -> None:
            if asked.wait(LIMIT):
                process.send_signal(signal.SIGTERM)

        thread = threading.Thread(target=cancel)
        thread.start()
        assert process.stdout
        *_, last = process.stdout
        assert process.wait(LIMIT) == 130, last
        thread.join()
    assert '"type": "cancelled"' in last
    assert containers(own_engine.host) == []
    with Daemon.connect(own_engine.host) as engine:
        assert engine.image_id(name) is None
