"""A registry is reached by each of its names: an IPv6 address, a name of Docker Hub, an address below a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.jobs.verify import run as verify
from jupyter_condabuild.oci.connections.origins import Origin
from jupyter_condabuild.oci.connections.tls import Certificates
from jupyter_condabuild.oci.image import Digest, Reference
from jupyter_condabuild.requests.others import VerifyRequest
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import request, silent
from tests.parts.registry.faults import FakeRegistry, Reply
from tests.parts.registry.logins import ADA, BASIC, basic_guard, real_registry
from tests.parts.registry.pushing import blob, connect, opener


@pytest.fixture
def ipv6(tmp_path: Path) -> Iterator[str]:
    """A real registry at ``[::1]:PORT``."""
    (tmp_path / "registry").mkdir()
    with real_registry(tmp_path / "registry", "", address="::1") as host:
        yield host


def test_an_image_goes_to_a_registry_with_an_ipv6_address(ipv6: str, workshop: Workshop, tmp_path: Path) -> None:
    """It is pushed, found again and verified, without TLS, because the address is that of this machine."""
    channel = small_channel(tmp_path / "channel", [(Metadata("a", "1", noarch="generic"), [File("share/a", b"a")])])
    prefix = install(tmp_path / "env", channel, "a")
    name = f"{ipv6}/team/env:v1"
    built = workshop.build(prefix, reference=name, push=True)
    assert built.event.reference == name
    assert workshop.build(prefix, reference=name, push=True).event.bytes_pushed == 0
    found = verify(request(VerifyRequest, reference=name, store_dir=str(tmp_path / "another")), silent)
    assert found.digest == built.event.digest


def test_the_folder_of_an_ipv6_registry_has_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder has the name that the reference has."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".config/containers/certs.d/[fd00::1]:5000"
    folder.mkdir(parents=True)
    (folder / "ca.crt").touch()
    assert Certificates.of(Origin.of_registry("[fd00::1]:5000", "https")).authorities == (folder / "ca.crt",)


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize(("path", "repository"), [("debian", "library/debian"), ("team/env", "team/env")])
def test_docker_hub_has_one_name(host: str, path: str, repository: str) -> None:
    """Its layers, logins and warnings do not depend on the name that the user wrote."""
    assert Reference.parse(f"{host}/{path}:1") == Reference("docker.io", repository, "1")


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("u0?state=a%2Bb", "/v2/team/env/blobs/uploads/u0?state=a%2Bb&"),
        ("/v2/team/env/blobs/uploads/u0", "/v2/team/env/blobs/uploads/u0?"),
        ("/artifactory/api/docker/lab/v2/team/env/blobs/uploads/u0?x=1", "/artifactory/api/docker/lab/v2/team/env/"),
        ("http://{host}/registry/v2/team/env/blobs/uploads/u0", "/registry/v2/team/env/blobs/uploads/u0?"),
    ],
)
def test_an_upload_follows_its_location_with_the_login(fake_registry: FakeRegistry, location: str, path: str) -> None:
    """A registry behind a prefix names addresses with this prefix. They may be relative."""
    fake_registry.guard = basic_guard
    headers = {"Location": location.format(host=fake_registry.host)}
    with connect(fake_registry.host, ADA) as registry:
        registry.check()
        fake_registry.on("POST", "uploads", Reply(202, headers))
        fake_registry.on("PUT", "u0", Reply(201))
        assert registry.repository("team/env").push(blob(b"x"), opener(b"x")) == "uploaded"
    sent = fake_registry.seen[-1]
    assert sent.path.startswith(path)
    assert sent.path.endswith(f"digest={str(Digest.of(b'x')).replace(':', '%3A')}")
    assert sent.authorization == BASIC
