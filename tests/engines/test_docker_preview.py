"""The plan of a docker build: the steps of the Dockerfile, and the images that serve as a cache."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jupyter_condabuild.engines.docker.preview import DockerPreview
from jupyter_condabuild.jobs import plan
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.engines import DockerWorkshop
from tests.parts.jobs import plan_request, silent
from tests.parts.registry.faults import FakeRegistry

_TAKEN = re.compile(r"^#\d+ \[\S+ +\d+/\d+\] (.*?)(?: CACHED)?$", re.MULTILINE)
_WIDTH = 120  # the length of a step's title in the log


def planned(prefix: Path, **more: Any) -> DockerPreview:
    """Returns a plan."""
    found = plan.run(plan_request(prefix=prefix, engine="docker", **more), silent)
    assert isinstance(found, DockerPreview)
    return found


def test_the_steps_are_the_same_as_in_the_build(
    docker_workshop: DockerWorkshop, channel: Channel, tmp_path: Path
) -> None:
    """The steps are the same for an environment as installed, and with an added and a deleted file."""
    made = install(tmp_path / "env", channel, "greet", "python", "tqdm")
    for name in ("installed", "changed"):
        docker_workshop.image(made, name)
        taken = {step[:_WIDTH] for step in _TAKEN.findall(docker_workshop.log) if not step.startswith("WORKDIR")}
        found = planned(
            made,
            base=docker_workshop.base,
            installer="rattler",
            installer_image=docker_workshop.installer_image,
            store_dir=str(docker_workshop.store),
        )
        steps = {" ".join(step.split())[:_WIDTH] for step in found.steps if not step.startswith("FROM")}
        assert {step for step in taken if not step.startswith("FROM")} == steps
        assert len(found.steps) == len(steps) + 2
        (made / "share/greet/message.txt").unlink(missing_ok=True)
        (made / "share/mine").write_text("mine")
    assert any("removed.list" in step for step in steps)
    assert any("overlay" in step for step in steps)


def test_the_caches_are_the_trusted_images_that_exist(
    rattler_prefix: Path, fake_registry: FakeRegistry, workshop: Workshop, tmp_path: Path
) -> None:
    """The named images come first, then the earlier image of the tag. An image without a destination has no cache."""
    store = str(tmp_path / "empty")
    host = fake_registry.host
    cache, mine = (f"{host}/docker-plan/{name}" for name in ("cache", "mine"))
    package = small_channel(tmp_path / "channel", [(Metadata("one", "1"), [File("share/one", b"one")])])
    made = install(tmp_path / "env", package, "one")
    digests = [workshop.build(made, reference=f"{name}:v1", push=True).event.digest for name in (cache, mine)]
    assert planned(rattler_prefix, store_dir=store).caches == ()
    given = {"reference": f"{mine}:v1", "cache_from": [f"{cache}:v1", f"{host}/docker-plan/none:v1"]}
    found = planned(rattler_prefix, store_dir=store, trusted_repositories=[f"{host}/*"], **given)
    assert found.caches == (f"{cache}@{digests[0]}", f"{mine}@{digests[1]}")
    assert planned(rattler_prefix, store_dir=store, trusted_repositories=[mine], **given).caches == found.caches[1:]
    assert planned(rattler_prefix, store_dir=store, **given).caches == ()


def test_the_plan_says_that_the_engine_decides(tmp_path: Path, rattler_prefix: Path) -> None:
    """The bytes of the plan are an estimate, and it says so. It is the same without an engine."""
    run = CommandLine(tmp_path)
    arguments = ("plan", rattler_prefix, "--engine", "docker", "--installer", "conda", "--base", "debian:12")
    done = run(*arguments, environ={"DOCKER_HOST": "unix:///nobody/home.sock"})
    assert done.status == 0, done.err
    assert "FROM debian:12" in done.out
    assert "conda create" in done.out
    assert "finds out during the build" in done.out
    assert "An estimate from the sizes of the files: the image has about" in done.out
    assert "are pushed" not in done.out  # there is no destination
    found = run(*arguments, "--json").json
    assert (found["engine"], found["bytes_to_push"]) == ("docker", 0)
    assert found["bytes_total"] == sum(layer["size"] for layer in found["layers"]) > 1_000_000
    assert found["steps"]
    assert run("plan", rattler_prefix, "--json").json["engine"] == "layers"
