"""A build in an engine gets the proxies of Docker's configuration, and leaves no trace of them in the image."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from pathlib import Path

import pytest

from jupyter_condabuild.errors import EngineUnavailable
from jupyter_condabuild.oci.engine import builder
from jupyter_condabuild.oci.engine.builder import BuildOptions, Kind
from jupyter_condabuild.oci.engine.daemon import Daemon
from tests.parts.engines import DockerWorkshop

PROXY = "http://ada:canary@proxy.test:3128"


@pytest.fixture
def context(docker_workshop: DockerWorkshop, tmp_path: Path) -> Path:
    """A build context whose only step fails without the proxies. No builder has the step in its cache."""
    length = f"test ${{#http_proxy}} = {len(PROXY)} && test ${{#HTTPS_PROXY}} = {len(PROXY)}"
    text = f'FROM {docker_workshop.base}\nRUN {length} && test "$no_proxy" = lab.org && : {uuid.uuid4()}\n'.encode()
    member = tarfile.TarInfo("Dockerfile")
    member.size = len(text)
    with tarfile.open(tmp_path / "context.tar", "w") as tar:
        tar.addfile(member, io.BytesIO(text))
    return tmp_path / "context.tar"


@pytest.mark.parametrize("kind", ["buildkit", "classic"])
def test_a_build_uses_the_proxies_of_docker_s_configuration(
    docker_workshop: DockerWorkshop, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """Docker's command line does the same. Neither the image's configuration nor its history names them."""
    proxies = {"default": {"httpProxy": PROXY, "httpsProxy": PROXY, "noProxy": "lab.org"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    name = f"condabuild/proxies:{uuid.uuid4().hex}"
    with Daemon.connect(docker_workshop.docker_host) as engine:
        options = BuildOptions(name, {}, network=builder.network(engine))
        identity = builder.build(engine, context, options, kind, lambda answer: None)
        try:
            made = json.dumps([engine.client.inspect_image(identity), engine.client.history(name)])
            assert "proxy.test" not in made
        finally:
            engine.client.remove_image(name, force=True)


@pytest.mark.parametrize("proxies", [5, [], {"default": 5}])
def test_a_damaged_section_of_proxies_is_named(
    docker_workshop: DockerWorkshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxies: object
) -> None:
    """The error names the file and its member."""
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"config\.json is not valid: its member proxies"):
        Daemon.connect(docker_workshop.docker_host)
