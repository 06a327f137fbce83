"""A cold build gives Docker the lowest layers early. The image is the same, and no other image is left."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.engines.layers import steps
from jupyter_condabuild.errors import Cancelled
from jupyter_condabuild.events import Event, Layer, Log
from jupyter_condabuild.oci.archive import Progress
from jupyter_condabuild.oci.engine import step_images
from jupyter_condabuild.oci.engine.containers import owner
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.engine.step_images import LABEL_STEP, Part, remove_steps, step_image
from jupyter_condabuild.oci.image import Digest, Image, ImageConfig
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.small_image import image, tar

LIMIT = 120.0
NAMES = ("a", "b", "c", "d", "e", "f")


class Pause:
    """A report that stops at the layer of the last package, until it is told to go on: by the log, with `at_log`.

    By then, a step can have begun. Without the pause, these small layers would all be made before it.
    """

    def __init__(self, *, at_log: bool = True) -> None:
        self._at_log = at_log
        self.go_on = threading.Event()
        self.steps = 0
        self.error: Exception | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Log) and event.text.endswith("while others are made."):
            self.steps += 1
            if self._at_log:
                self.go_on.set()
        if isinstance(event, Layer) and any(name.startswith("f-") for name in event.packages):
            assert self.go_on.wait(LIMIT)
            if self.error:
                raise self.error


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment whose packages have a layer each. The largest is lowest, and is made first."""
    folder = tmp_path_factory.mktemp("steps")
    noise = random.Random(str(folder))
    files = [File(f"share/{name}", noise.randbytes(600_000 - at * 50_000)) for at, name in enumerate(NAMES)]
    packages = [(Metadata(name, "1", noarch="generic"), [file]) for name, file in zip(NAMES, files, strict=True)]
    return install(folder / "env", small_channel(folder / "channel", packages), *NAMES)


@pytest.fixture
def name(docker_client: docker.DockerClient) -> Iterator[str]:
    """A name, whose image is removed at the end."""
    reference = f"localhost/steps/{uuid.uuid4().hex}:v1"
    yield reference
    for found in docker_client.images.list(reference.rpartition(":")[0]):
        docker_client.images.remove(found.id, force=True)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even small builds have steps."""
    monkeypatch.setattr(steps, "LEAST", 1)
    monkeypatch.setattr(steps, "GRACE_SECONDS", LIMIT)


def left(client: docker.DockerClient, maker: str) -> list[str]:
    """Returns the ids of the step images that a process has made."""
    return [found.id for found in client.images.list(filters={"label": f"{LABEL_STEP}={maker}"})]


def loads(client: docker.DockerClient, since: float) -> int:
    """Returns how many step images of this process the engine has loaded."""
    chosen = {"type": "image", "event": "load", "label": f"{LABEL_STEP}={owner()}"}
    return len(list(client.events(since=f"{since:.6f}", until=f"{time.time():.6f}", filters=chosen)))


@pytest.mark.usefixtures("eager")
def test_steps_give_the_same_image(
    workshop: Workshop,
    prefix: Path,
    name: str,
    tmp_path: Path,
    docker_client: docker.DockerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Layers that the engine has make no step. No step image is left."""
    began, pause = time.time(), Pause()
    workshop.build(prefix, pause, reference=name, load=True)
    assert pause.steps
    assert loads(docker_client, began) == pause.steps
    assert left(docker_client, owner()) == []
    without = workshop.image(prefix)
    assert docker_client.images.get(name).id == without.manifest["config"]["digest"]

    again = Pause()

    def present(daemon: Daemon, lowest: Image) -> int:
        again.go_on.set()
        return step_images.present(daemon, lowest)

    monkeypatch.setattr(steps, "present", present)
    other = name.replace(":v1", ":v2")
    Workshop(tmp_path / "other", workshop.base).build(prefix, again, reference=other, load=True)
    assert again.go_on.is_set()
    assert again.steps == 0
    assert docker_client.images.get(other).id == docker_client.images.get(name).id


@pytest.mark.usefixtures("eager")
def test_an_engine_that_reads_all_layers_gets_no_step(
    workshop: Workshop, prefix: Path, name: str, docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman, and Docker with the store of containerd, would unpack the layers of a step twice."""
    pause = Pause()

    def keeps_layers(_: Daemon) -> bool:
        pause.go_on.set()
        return False

    monkeypatch.setattr(Daemon, "keeps_layers", keeps_layers)
    result = workshop.build(prefix, pause, reference=name, load=True)
    assert pause.steps == 0
    assert docker_client.images.get(name).id == str(result.image.manifest.config.digest)


@pytest.mark.usefixtures("eager")
def test_after_a_fault_of_a_step_the_engine_gets_the_rest_at_the_end(
    workshop: Workshop, prefix: Path, name: str, docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other step begins, and the log says why."""

    def damaged(lowest: Sequence[Part], platform: Mapping[str, object]) -> Image:
        *others, last = lowest
        return step_image([*others, replace(last, diff_id=Digest("0" * 64))], platform)

    monkeypatch.setattr(steps, "step_image", damaged)
    pause = Pause()
    result = workshop.build(prefix, pause, reference=name, load=True)
    assert pause.steps == 1
    [said] = [event.text for event in workshop.events if isinstance(event, Log) and "at the end of the" in event.text]
    assert "diff" in said
    assert docker_client.images.get(name).id == str(result.image.manifest.config.digest)


@pytest.mark.usefixtures("eager")
def test_a_cancelled_build_leaves_no_step_image(
    workshop: Workshop, prefix: Path, name: str, docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the image is sent, nor when the engine has it."""
    sending = Pause()
    sending.error = Cancelled("The user has cancelled the build.")
    with pytest.raises(Cancelled):
        workshop.build(prefix, sending, reference=name, load=True)
    assert sending.steps
    assert left(docker_client, owner()) == []

    began, there = time.time(), Pause(at_log=False)
    there.error = sending.error
    load = Daemon.load

    def loaded(daemon: Daemon, lowest: Image, reference: str, progress: Progress) -> str:
        identity = load(daemon, lowest, reference, progress)
        there.go_on.set()
        return identity

    monkeypatch.setattr(Daemon, "load", loaded)
    shutil.rmtree(workshop.store)
    with pytest.raises(Cancelled):
        workshop.build(prefix, there, reference=name, load=True)
    assert loads(docker_client, began)
    assert left(docker_client, owner()) == []
    assert docker_client.images.list(name) == []


def test_the_next_build_removes_what_a_killed_build_left(
    workshop: Workshop, prefix: Path, name: str, docker_client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images of processes that run, or that ran elsewhere, stay, and so does an image that has a name."""
    program = "from jupyter_condabuild.oci.engine.containers import owner; print(owner())"
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()
    elsewhere = f"another-machine:{uuid.uuid4().int}:1"
    with Daemon.connect() as engine:
        for maker, reference in ((ended, ""), (ended, name.replace(":v1", ":kept")), (elsewhere, "")):
            monkeypatch.setattr(step_images, "owner", lambda maker=maker: maker)
            made = image([tar({"unique": uuid.uuid4().bytes})])
            engine.load(step_image(parts(made), {"architecture": "amd64", "os": "linux"}), reference)
        monkeypatch.undo()
        assert len(left(docker_client, ended)) == 2
        workshop.build(prefix, reference=name, load=True)
        [kept] = left(docker_client, ended)
        assert kept == docker_client.images.get(name.replace(":v1", ":kept")).id
        [other] = left(docker_client, elsewhere)
        docker_client.images.remove(other)
        remove_steps(engine)  # nothing is there, and that is no error


def parts(made: Image) -> Sequence[Part]:
    """Returns the layers of an image."""
    diff_ids = ImageConfig.parse(made.config).diff_ids
    layers = zip(made.manifest.layers, diff_ids, strict=True)
    return [Part(layer, diff_id, made.sources[layer.digest]) for layer, diff_id in layers]
