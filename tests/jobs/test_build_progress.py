"""The progress in the events of real builds of several kinds never runs backwards, and ends at its total."""

from __future__ import annotations

import io
import json
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.display.terminal import Terminal
from jupyter_condabuild.events import Event, Progress
from tests.parts.build_events import faults_of
from tests.parts.builds import Workshop
from tests.parts.channel import prefix as prefixes
from tests.parts.command_line import CommandLine
from tests.parts.engines import DockerWorkshop
from tests.parts.registry.faults import FakeRegistry, Reply

SPECS = ("python", "requests", "tqdm", "changing=1.0")


class Place:
    """An environment and a repository, and the events and terminal of the build in question."""

    def __init__(self, workshop: Workshop, prefix: Path, name: str, fake: FakeRegistry) -> None:
        self.workshop, self.prefix, self.name, self.fake = workshop, prefix, name, fake

    def build(self, **request: Any) -> list[Event]:
        self.workshop.build(self.prefix, **{"reference": f"{self.name}:v1", "push": True, **request})
        return list(self.workshop.events)


@pytest.fixture
def place(
    workshop: Workshop,
    registry: str,
    channel_url: str,
    package_cache: Path,
    tmp_path: Path,
    fake_registry: FakeRegistry,
) -> Place:
    prefix = prefixes.create(tmp_path / "env", SPECS, channel_url, package_cache)
    (prefix / "data.bin").write_bytes(bytes(range(256)) * 10_000)
    return Place(workshop, prefix, f"{registry}/progress/{uuid.uuid4().hex}", fake_registry)


def cold(place: Place) -> list[Event]:
    return place.build()


def changed(place: Place) -> list[Event]:
    place.build()
    (place.prefix / "more.bin").write_bytes(bytes(range(256)) * 20_000)
    return place.build()


def mounted(place: Place) -> list[Event]:
    place.build()
    return place.build(reference=f"{place.name}/other:v1")


def copied(place: Place) -> list[Event]:
    place.build()
    shutil.rmtree(place.workshop.store)
    return place.build(reference=f"{place.fake.host}/team/env:v1", cache_from=(f"{place.name}:v1",))


def interrupted(place: Place) -> list[Event]:
    """The registry loses the connection of some uploads, so that their bytes are sent again."""
    place.fake.on("PUT", "digest=", *[Reply(503)] * 3)
    return place.build(reference=f"{place.fake.host}/team/env:v1")


def archive(place: Place) -> list[Event]:
    path = place.workshop.folder / "image.tar"
    return place.build(push=False, archive=str(path))


def push_and_archive(place: Place) -> list[Event]:
    return place.build(archive=f"docker-archive:{place.workshop.folder / 'image.tar'}")


def stacked(place: Place) -> list[Event]:
    place.build()
    (place.prefix / "more.bin").write_bytes(bytes(range(256)) * 20_000)
    return place.build(stack=True)


def pip_alone(place: Place) -> list[Event]:
    """The environment has a package of pip, which is changed after a first build, and nothing else besides packages."""
    (place.prefix / "data.bin").unlink()
    [site] = place.prefix.glob("lib/python3.*/site-packages")
    info = site / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "RECORD").write_text("mine-1.0.dist-info/METADATA,,\nmine.dat,,\n")
    (site / "mine.dat").write_bytes(bytes(range(256)) * 10_000)
    place.build()
    (site / "mine.dat").write_bytes(bytes(range(256)) * 20_000)
    return place.build()


KINDS: list[Callable[[Place], list[Event]]] = [
    *(pip_alone, cold, changed, mounted, copied, interrupted, archive, push_and_archive, stacked)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_progress_of_a_build_never_falls(kind: Callable[[Place], list[Event]], place: Place) -> None:
    """The total is constant, the part that is done never falls, and the end is the total; in the terminal, too."""
    events = kind(place)
    whole = [event for event in events if isinstance(event, Progress) and event.subject == "build"]
    assert whole, "no progress of the whole build"
    assert faults_of(events) == []
    percents = _percents_on_a_terminal(events)
    assert percents == sorted(percents)


def test_a_build_without_changes_claims_no_work(place: Place) -> None:
    """Nothing is made or sent, so that there is no bar that jumps."""
    place.build()
    assert faults_of(place.build()) == []


def test_the_docker_engine_has_one_total(docker_workshop: DockerWorkshop, registry: str, rattler_prefix: Path) -> None:
    """The steps of the builder and the bytes of the push count together."""
    docker_workshop.build(rattler_prefix, reference=f"{registry}/progress/{uuid.uuid4().hex}:v1", push=True)
    events = docker_workshop.events
    assert faults_of(events) == []
    whole = [event for event in events if isinstance(event, Progress) and event.subject == "build"]
    assert len(whole) > 2


def _percents_on_a_terminal(events: list[Event]) -> list[int]:
    """Returns the percentages that a terminal shows for the whole build, in order."""

    class Screen(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    screen = Screen()
    now = 0.0
    with Terminal(screen, lambda: now, ticking=False) as terminal:
        for event in events:
            now += 0.05
            terminal(event)
            terminal.draw()
    lines = re.findall(r"build  [^\n]*?(\d+) %", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()))
    return [int(percent) for percent in lines]


def test_events_as_json_lines_have_one_total(place: Place, tmp_path: Path) -> None:
    """`--events jsonl` has the same numbers, each subject with one total."""
    run = CommandLine(tmp_path)
    done = run(
        "build", place.prefix, "-t", f"{place.name}:v2", "--push", "--base", place.workshop.base, "--events", "jsonl"
    )
    lines = [json.loads(line) for line in done.out.splitlines()]
    events = [
        Progress(line["subject"], line["complete"], line["total"]) for line in lines if line["type"] == "progress"
    ]
    assert [event for event in events if event.subject == "build"]
    assert faults_of(events) == []


def test_the_files_of_pip_are_work(place: Place) -> None:
    """An environment whose only other files are those of pip has a layer for these files, which takes time."""
    found = [event for event in pip_alone(place) if isinstance(event, Progress) and event.subject == "build"]
    assert found[-1].total > 2_000_000
