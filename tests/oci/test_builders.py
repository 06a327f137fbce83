"""Builders (BuildKit, classic, Podman), installers, and private and local base images."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.engines.docker.installers import INSTALLERS
from jupyter_condabuild.errors import BaseUnavailable, EngineFault
from jupyter_condabuild.oci.engine import builder
from jupyter_condabuild.oci.engine.daemon import Daemon
from tests.parts.builds import install
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel
from tests.parts.engines import DockerWorkshop, steps, unexpected
from tests.parts.own_engines import OwnEngine
from tests.parts.registry.logins import CANARIES, PASSWORD, USER, password_registry


@pytest.mark.parametrize("place", ["DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE"])
def test_images_that_need_a_login_are_pulled_with_the_users_login(
    docker_workshop: DockerWorkshop,
    own_engine: OwnEngine,
    tmp_path: Path,
    channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """If all images are in a registry with a password, a build succeeds, and a second build uses the first as a cache.

    The login can be in each place that the registry client reads: Docker's file, the variable of a CI system, Podman's
    file.
    """
    (tmp_path / "registry").mkdir()
    with password_registry(tmp_path / "registry") as host:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        text, file = json.dumps({"auths": {host: {"auth": login}}}), tmp_path / "config.json"
        file.write_text(text)
        values = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_AUTH_CONFIG": text, "REGISTRY_AUTH_FILE": str(file)}
        monkeypatch.setenv(place, values[place])
        copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]
        copy += ["--dest-authfile", str(tmp_path / "config.json")]
        names = {"base": docker_workshop.base, "installer": docker_workshop.installer_image}
        for what, source in names.items():
            subprocess.run([*copy, f"docker://{source}", f"docker://{host}/lab/{what}:v1"], check=True)
        docker_workshop.base, docker_workshop.installer_image = f"{host}/lab/base:v1", f"{host}/lab/installer:v1"
        docker_workshop.docker_host = own_engine.host
        made = install(tmp_path / "env", channel, "greet")
        docker_workshop.build(made, reference=f"{host}/lab/env:v1", push=True)
        with Daemon.connect(own_engine.host) as engine:
            engine.client.prune_builds()
            for image in (f"{host}/lab/env:v1", docker_workshop.installer_image):
                engine.client.remove_image(image, force=True)
        docker_workshop.build(made, reference=f"{host}/lab/env:v2", push=True, cache_from=(f"{host}/lab/env:v1",))
    assert [step for step in steps(docker_workshop.log) if "COPY --from=environment" in step]
    assert not [canary for canary in CANARIES if canary in "".join(map(repr, docker_workshop.events))]


@pytest.mark.parametrize("name", ["micromamba", "conda"])
def test_the_other_installers_make_the_same_files(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel_url: str, package_cache: Path, name: str
) -> None:
    """micromamba and conda install the same files as py-rattler. This test needs Docker Hub."""
    with Daemon.connect() as engine:
        try:
            engine.pull(INSTALLERS[name].image)
        except EngineFault as error:
            pytest.skip(f"{INSTALLERS[name].image} is not available here: {error.message[:200]}")
    made = prefix.create(tmp_path / "env", ["python", "tqdm", "greet"], channel_url, package_cache)
    ours = docker_workshop.image(made, name, installer=name, installer_image="")
    assert unexpected(ours, docker_workshop.image(made, "layers", engine="layers")) == {}


def test_an_engine_without_buildkit_uses_the_classic_builder(
    docker_workshop: DockerWorkshop, own_engine: OwnEngine, rattler_prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classic builder makes the same environment, after a warning, and leaves no container."""
    monkeypatch.setattr(builder, "builder_of", lambda daemon: "classic")
    docker_workshop.docker_host = own_engine.host
    ours = docker_workshop.image(rattler_prefix, "classic")
    with Daemon.connect(own_engine.host) as engine:
        assert engine.client.containers(all=True) == []
    assert "no BuildKit" in docker_workshop.warnings["no-buildkit"]
    assert unexpected(ours, docker_workshop.image(rattler_prefix, "layers", engine="layers")) == {}


def test_an_engine_that_refuses_buildkit_uses_the_classic_builder(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the engine says during the build that it has no BuildKit, the build continues with the classic builder."""
    real, kinds = builder.build, list[str]()

    def build(daemon: Daemon, context: Path, options: object, kind: str, *more: object) -> str:
        kinds.append(kind)
        if kind == "buildkit":
            raise builder.NoBuildKit("none")
        return real(daemon, context, options, kind, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(builder, "build", build)
    made = install(tmp_path / "env", channel, "greet")
    docker_workshop.build(made, reference=docker_workshop.name(what="refused"), load=True)
    assert kinds == ["buildkit", "classic"]
    assert "no-buildkit" in docker_workshop.warnings


@pytest.mark.parametrize("kind", ["buildkit", "classic"])
def test_no_builder_reveals_a_secret(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The engine's message can contain the login of a channel. Our error does not contain it, and says what to do."""

    def build(daemon: Daemon, context: Path, options: object, asked: str, *more: object) -> str:
        if asked != kind:
            raise builder.NoBuildKit("none")
        raise EngineFault("curl https://ada:s3cr3t@channel.lab.org/t/tk-1234/noarch failed")

    monkeypatch.setattr(builder, "build", build)
    made = install(tmp_path / "env", channel, "greet")
    with pytest.raises(EngineFault) as failed:
        docker_workshop.build(made, reference=docker_workshop.name(what="secret"), load=True)
    assert "channel.lab.org" in failed.value.message
    assert "s3cr3t" not in failed.value.message
    assert "tk-1234" not in failed.value.message
    assert "the engine can reach its channel" in failed.value.hint


def test_podman_builds_the_image(
    docker_workshop: DockerWorkshop,
    tmp_path: Path,
    channel: Channel,
    podman_engine: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Podman's socket accepts the same request."""
    # On the machines of these tests, only the host's network works in containers.
    monkeypatch.setattr(builder, "network", lambda daemon: "host")
    made = install(tmp_path / "env", channel, "python", "tqdm")
    docker_workshop.docker_host = podman_engine
    name = docker_workshop.name(what="podman")
    docker_workshop.build(made, reference=name, load=True)
    with Daemon.connect(podman_engine) as engine:
        assert engine.image_id(name)


def test_a_base_of_the_engine_can_be_used(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel: Channel, docker_client: docker.DockerClient
) -> None:
    """`docker-daemon:` names an image of the engine.

    If the engine does not have it, or if it is an image of an environment, the build ends before the upload.
    """
    docker_client.images.get(docker_workshop.installer_image).tag("condabuild-tests/local", "base")
    made = install(tmp_path / "env", channel, "greet")
    name = docker_workshop.name(what="local")
    docker_workshop.build(made, reference=name, load=True, base="docker-daemon:condabuild-tests/local:base")
    docker_client.images.remove("condabuild-tests/local:base")
    with pytest.raises(BaseUnavailable, match="already contains an environment"):
        docker_workshop.build(made, reference=name, load=True, base=f"docker-daemon:{name}")
    with pytest.raises(BaseUnavailable):
        docker_workshop.build(made, reference=name, load=True, base="docker-daemon:condabuild-tests/local:base")
