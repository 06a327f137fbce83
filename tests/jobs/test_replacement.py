"""rebase --replace changes the version of a package in an image. The other layers do not change."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.errors import BadImage, NotCompatible, UsageError
from jupyter_condabuild.events import Event, Finished, Layer, Log
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.jobs import replacement
from jupyter_condabuild.oci.image import LAYER_PACKAGES, ImageConfig
from jupyter_condabuild.oci.referrers import content, referrers
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.sbom.documents import CYCLONEDX
from tests.jobs.test_rebase import manifest_of
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.hostile_python import HONEST
from tests.parts.jobs import request, verified
from tests.parts.registry.faults import FakeRegistry
from tests.parts.registry.pushing import change_image, connect


def package(name: str, version: str, *depends: str, license: str = "MIT", shared: str = "") -> Package:
    """A package with its own file, and with a file that other packages can have, too."""
    files = [File(f"share/{name}", f"{name} {version}".encode())]
    files += [File("share/shared", f"of {name} {version}".encode())] if shared else []
    return Metadata(name, version, noarch="generic", depends=depends, license=license), files


PACKAGES: list[Package] = [
    package("app", "1.0", "lib >=1,<2", "__glibc >=2.17,<3.0.a0", shared="yes"),
    package("lib", "1.0"),
    package("lib", "1.1", "extra", shared="yes", license="Apache-2.0"),
    package("lib", "1.2", "__glibc >=2.99"),
    package("lib", "2.0"),
    package("extra", "1.0"),
    package("other", "1.0"),
]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    return small_channel(tmp_path_factory.mktemp("replacement") / "channel", PACKAGES)


@pytest.fixture(scope="module")
def prefix(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the old version, an own file, and variables."""
    made = install(tmp_path_factory.mktemp("installed") / "env", channel, "app", "lib==1.0", "other")
    (made / "share/mine").write_text("mine\n")
    (made / "conda-meta/state").write_text('{"version": 1, "env_vars": {"MODE": "test"}}')
    return made


@pytest.fixture
def name(registry: str) -> str:
    """A repository for one test."""
    return f"{registry}/replacement/{uuid.uuid4().hex}"


def replaced(workshop: Workshop, reference: str, spec: str, target: str) -> tuple[Finished, list[Event]]:
    events: list[Event] = []
    asked = {"reference": reference, "replace": [spec], "target": target, "store_dir": str(workshop.store)}
    return replacement.run(request(RebaseRequest, **asked), events.append), events


def test_the_result_is_the_image_of_an_environment_with_the_new_version(
    workshop: Workshop, prefix: Path, channel: Channel, name: str, tmp_path: Path
) -> None:
    """Each layer is the same, with a new dependency, a path of two packages, the changed files and the variables."""
    workshop.build(prefix, reference=f"{name}:old", push=True, variables=True)
    _, events = replaced(workshop, f"{name}:old", "lib=1.1", f"{name}:new")
    made, config = manifest_of(f"{name}:new")
    other = install(tmp_path / "env", channel, "app", "lib==1.1", "other")
    (other / "share/mine").write_text("mine\n")
    (other / "conda-meta/state").write_text('{"version": 1, "env_vars": {"MODE": "test"}}')
    workshop.build(other, reference=f"{name}:built", push=True, variables=True)
    built, expected = manifest_of(f"{name}:built")
    assert {layer.digest for layer in made.layers} == {layer.digest for layer in built.layers}
    assert config["config"]["Env"] == expected["config"]["Env"]
    ours, theirs = (Ours.read(ImageConfig.parse(json.dumps(value).encode())) for value in (config, expected))
    assert ours.lockfile.digest == theirs.lockfile.digest
    assert ours.variables == theirs.variables == {"MODE": "test"}
    assert "lib=1.1" in ours.lockfile.requested
    assert {event.text for event in events if isinstance(event, Log)} >= {"lib: 1.0-0 -> 1.1-0", "extra: new -> 1.0-0"}
    assert not verified(f"{name}:new", workshop.store).differs


def test_only_the_layers_of_the_new_version_are_made(workshop: Workshop, prefix: Path, name: str) -> None:
    """The machine has never had the image. The other layers are not moved."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    before = {layer.digest for layer in manifest_of(f"{name}:old")[0].layers}
    empty = Workshop(workshop.folder / "empty", workshop.base)
    finished, events = replaced(empty, f"{name}:old", "lib=1.1", f"{name}:new")
    after = manifest_of(f"{name}:new")[0].layers
    new = [layer for layer in after if layer.digest not in before]
    sent = [event for event in events if isinstance(event, Layer) and event.state == "pushed" and event.key]
    assert {one for event in sent for one in event.packages} <= {"lib-1.1-0", "extra-1.0-0", "app-1.0-0"}
    assert finished.layers_reused == finished.layers - len(new)
    kept = {layer.annotations.get(LAYER_PACKAGES) for layer in after if layer.digest in before}
    assert {"other-1.0-0"} <= kept


def test_the_sbom_has_the_new_version(workshop: Workshop, prefix: Path, name: str) -> None:
    """The SBOM has the licence of each package."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    finished, _ = replaced(workshop, f"{name}:old", "lib=1.1", f"{name}:new")
    host, _, repository = name.partition("/")
    with connect(host) as registry:
        place = registry.repository(repository)
        [sbom] = referrers(place, manifest_of(f"{name}:new")[0].descriptor.digest, CYCLONEDX)
        components: dict[str, Any] = {
            one["name"]: one for one in json.loads(content(place, sbom, 1 << 20))["components"]
        }
    assert components["lib"]["version"] == "1.1"
    assert components["lib"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert components["other"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert finished.digest == str(manifest_of(f"{name}:new")[0].descriptor.digest)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (
            "lib=2.0",
            NotCompatible,
            r"^lib=2\.0 does not fit app 1\.0\. The channels have lib 2\.0, 1\.2, 1\.1, 1\.0\.$",
        ),
        ("lib=1.2", NotCompatible, r"^lib=1\.2 does not fit .*the system of the image \(__glibc\)"),
        ("lib=9", NotCompatible, r"^The channels of the image have no lib=9\. The channels have lib 2\.0, 1\.2"),
        ("lib=1.0", UsageError, "already"),
        ("nothing=1", UsageError, "no conda package 'nothing'"),
        ("lib==>1", UsageError, "no package with a version"),
    ],
)
def test_a_version_that_does_not_fit_is_refused(
    workshop: Workshop, prefix: Path, name: str, spec: str, error: type[Exception], message: str
) -> None:
    """The error has the reason, and nothing is pushed."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    with pytest.raises(error, match=message):
        replaced(workshop, f"{name}:old", spec, f"{name}:new")
    with connect(name.partition("/")[0]) as registry:
        assert registry.repository(name.partition("/")[2]).head("new") is None


def test_packages_that_the_channel_has_lost_are_kept(workshop: Workshop, name: str, tmp_path: Path) -> None:
    """These packages are in the image. Only the new version is needed."""
    folder = tmp_path / "channel"
    made = install(tmp_path / "env", small_channel(folder, PACKAGES), "app", "lib==1.0", "other")
    workshop.build(made, reference=f"{name}:old", push=True)
    for lost in folder.glob("noarch/other-*"):
        lost.unlink()
    small_channel(folder, PACKAGES[:-1])
    empty = Workshop(workshop.folder / "empty", workshop.base)
    replaced(empty, f"{name}:old", "lib=1.1", f"{name}:new")
    assert any(
        "other-1.0-0" in layer.annotations.get(LAYER_PACKAGES, "") for layer in manifest_of(f"{name}:new")[0].layers
    )


def _other_key(config: dict[str, Any]) -> None:
    config["history"].append(config["history"][-1])


@pytest.mark.parametrize("change", [_other_key])
def test_an_incomplete_image_is_refused(
    workshop: Workshop, prefix: Path, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """The error is the same as for a rebase."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    change_image(f"{name}:old", change)
    with pytest.raises(BadImage, match="different numbers"):
        replaced(workshop, f"{name}:old", "lib=1.1", f"{name}:new")


def test_the_command_keeps_the_base(workshop: Workshop, prefix: Path, name: str, tmp_path: Path) -> None:
    """A new base together with a version is wrong usage."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    run = CommandLine(tmp_path)
    done = run("rebase", f"{name}:old", "--replace", "lib=1.1", "--base", "debian:13-slim")
    assert done.status == 2
    assert "both given" in done.err
    done = run("rebase", f"{name}:old", "--replace", "lib=1.1", "-t", f"{name}:new", "--json")
    assert done.status == 0, done.err
    assert done.json["digest"] == str(manifest_of(f"{name}:new")[0].descriptor.digest)


def test_the_python_of_the_image_runs_in_a_sandbox_only(workshop: Workshop, name: str, tmp_path: Path) -> None:
    """Another person chose the packages of the image. Their interpreter sees no file of the user, and changes none."""
    sign = tmp_path / "the-interpreter-ran"
    script = HONEST.replace("exec", f"echo ran >> {sign}\nexec", 1).encode()
    packages: list[Package] = [
        (Metadata("python", sys.version.split()[0]), [File("bin/python", script, 0o755)]),
        *(
            (
                Metadata("needing", version, noarch="python", depends=("python",)),
                [File("site-packages/needing.py", f"VALUE = {version}\n".encode())],
            )
            for version in ("1.0", "2.0")
        ),
    ]
    made = install(tmp_path / "env", small_channel(tmp_path / "channel", packages), "needing==1.0")
    workshop.build(made, reference=f"{name}:old", push=True)
    sign.unlink()  # the interpreter of the own environment runs
    replaced(workshop, f"{name}:old", "needing=2.0", f"{name}:new")
    assert sandbox.available()
    assert not sign.exists()


def test_a_large_configuration_is_not_read(workshop: Workshop, prefix: Path, fake_registry: FakeRegistry) -> None:
    """The registry says how large it is."""
    reference = f"{fake_registry.host}/team/env:old"
    workshop.build(prefix, reference=reference, push=True)
    media_type, raw = fake_registry.manifests["team/env"]["old"]
    value = json.loads(raw)
    value["config"]["size"] = 1 << 30
    fake_registry.put_manifest("team/env", "old", media_type, json.dumps(value).encode())
    fake_registry.seen.clear()
    with pytest.raises(BadImage, match="The limit is"):
        replaced(workshop, reference, "lib=1.1", f"{fake_registry.host}/team/env:new")
    assert not [seen for seen in fake_registry.seen if value["config"]["digest"] in seen.path]
