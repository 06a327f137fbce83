"""An image is pushed to a repository that does not exist yet, although the registry denies reading it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.errors import RegistryUnauthorized
from jupyter_condabuild.jobs.plan import run as plan
from jupyter_condabuild.oci.image import Manifest
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import plan_request, silent
from tests.parts.registry.faults import FakeRegistry, spec_error
from tests.parts.registry.logins import ADA, PASSWORD, USER, Realm, token_registry
from tests.parts.registry.pushing import connect


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Realm]]:
    """A real registry that gives the right to pull only together with the right to push; the user has a login."""
    (tmp_path / "registry").mkdir()
    with token_registry(tmp_path / "registry") as (host, realm):
        realm.pulls = False
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        yield host, realm


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment of one package."""
    channel = small_channel(tmp_path / "channel", [(Metadata("a", "1", noarch="generic"), [File("share/a", b"a")])])
    return install(tmp_path / "env", channel, "a")


def test_the_first_image_of_a_repository_is_pushed_with_its_statements(
    hub: tuple[str, Realm], workshop: Workshop, prefix: Path
) -> None:
    """The plan, the build, its receipt and SBOMs, and the next build work. A build of another user is refused."""
    host, realm = hub
    name = f"{host}/team/env:v1"
    assert plan(plan_request(prefix=str(prefix), reference=name, base=workshop.base), silent)
    built = workshop.build(prefix, reference=name, push=True)
    assert {"receipt-not-attached", "sbom-not-attached"}.isdisjoint(workshop.warnings)
    realm.pulls = True
    with connect(host, ADA) as registry:
        manifest = registry.repository("team/env").manifest("v1")
        assert isinstance(manifest, Manifest)
        assert str(manifest.descriptor.digest) == built.event.digest
    realm.pulls = False
    assert workshop.build(prefix, reference=name, push=True, again=True).event.bytes_pushed == 0
    with pytest.raises(RegistryUnauthorized, match="does not accept the stored login for writing others/env"):
        workshop.build(prefix, reference=f"{host}/others/env:v1", push=True)


def test_a_denied_tag_may_still_be_pushed(fake_registry: FakeRegistry, workshop: Workshop, prefix: Path) -> None:
    """Artifactory denies reading a tag that it does not have (google/go-containerregistry#1691)."""
    denied = spec_error(403, "DENIED", "no access to one of the repositories behind this one")
    fake_registry.on("GET", "manifests/v1", *[denied] * 10)
    built = workshop.build(prefix, reference=f"{fake_registry.host}/team/env:v1", push=True)
    assert str(built.event.digest) in fake_registry.manifests["team/env"]
