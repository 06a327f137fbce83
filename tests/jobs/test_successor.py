"""An image that is made from another image has a receipt if somebody vouches for the other image."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.errors import RegistryNotFound, SigningFailed
from jupyter_condabuild.events import Event, Finished, Log
from jupyter_condabuild.jobs import rebase, replacement
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.referrers import content, referrers
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.sbom.documents import MEDIA_TYPES
from jupyter_condabuild.trust.dsse import MEDIA_TYPE, Envelope
from jupyter_condabuild.trust.vouchers import verified as verified_receipt
from tests.jobs.test_rebase import manifest_of
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import request
from tests.parts.registry.pushing import connect
from tests.trust.test_signatures import allow, make_key

Run = Callable[[RebaseRequest, Callable[[Event], None]], Finished]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the old version of a package, and with an own file."""
    folder = tmp_path_factory.mktemp("successor")
    packages = [
        (Metadata("lib", version, noarch="generic"), [File("share/lib", version.encode())])
        for version in ("1.0", "1.1")
    ]
    made = install(folder / "env", small_channel(folder / "channel", packages), "lib==1.0")
    (made / "share/mine").write_text("mine\n")
    return made


@pytest.fixture
def name(registry: str) -> str:
    """A repository for one test."""
    return f"{registry}/successor/{uuid.uuid4().hex}"


@pytest.fixture(params=["rebase", "replacement"])
def run(request: pytest.FixtureRequest) -> Run:
    """A job that makes an image from another image."""
    return rebase.run if request.param == "rebase" else replacement.run


def asked(run: Run, name: str, store: Path, newer_base: str, **others: str) -> RebaseRequest:
    change = {"base": newer_base} if run is rebase.run else {"replace": ["lib=1.1"]}
    places = {"reference": f"{name}:old", "target": f"{name}:new", "store_dir": str(store)}
    return request(RebaseRequest, **change, **places, **others)


def test_a_key_that_cannot_sign_ends_the_job_before_the_result_is_visible(
    run: Run, workshop: Workshop, prefix: Path, name: str, newer_base: str, tmp_path: Path
) -> None:
    """A person who asks for a signature does not get an image without one."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    with pytest.raises(SigningFailed):
        run(asked(run, name, workshop.store, newer_base, signing_key=str(tmp_path / "no")), lambda event: None)
    with pytest.raises(RegistryNotFound):
        manifest_of(f"{name}:new")


def test_the_receipt_is_signed_and_attached_with_the_sboms(
    run: Run, workshop: Workshop, prefix: Path, name: str, newer_base: str, tmp_path: Path
) -> None:
    """One list of referrers has all three. The receipt names the base, each layer, and the layer without a package."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    key = make_key(tmp_path)
    done = run(asked(run, name, workshop.store, newer_base, signing_key=str(key)), lambda event: None)
    manifest, config = manifest_of(f"{name}:new")
    host, _, path = name.partition("/")
    with connect(host) as registry:
        place = registry.repository(path)
        found = {one.artifact_type: one for one in referrers(place, Digest.parse(done.digest))}
        envelope = Envelope.parse(content(place, found[MEDIA_TYPE], 1 << 20))
    assert set(found) == {MEDIA_TYPE, *MEDIA_TYPES}
    voucher = verified_receipt(envelope, allow(tmp_path, ("ada@lab.org", key)))
    assert voucher.name == "ada@lab.org"
    receipt = voucher.receipt
    assert receipt
    labels = config["config"]["Labels"]
    assert receipt.base == labels["org.opencontainers.image.base.name"]
    assert receipt.base_digest == labels["org.opencontainers.image.base.digest"]
    digests = [layer.digest for layer in manifest.layers]
    assert [layer.digest for layer in receipt.layers] == digests[-1 - len(receipt.layers) : -1]
    assert len(receipt.unproved) == 1
    assert (receipt.image, receipt.lockfile) == (manifest.descriptor.digest, done.environment)


def test_an_image_for_which_nobody_vouches_gives_an_image_without_a_receipt(
    run: Run, workshop: Workshop, prefix: Path, name: str, newer_base: str, tmp_path: Path
) -> None:
    """A receipt says that this machine has built the layers. The job says that there is none."""
    workshop.build(prefix, reference=f"{name}:old", push=True)
    events: list[Event] = []
    key = make_key(tmp_path)
    done = run(asked(run, name, tmp_path / "other store", newer_base, signing_key=str(key)), events.append)
    host, _, path = name.partition("/")
    with connect(host) as registry:
        found = {one.artifact_type for one in referrers(registry.repository(path), Digest.parse(done.digest))}
    assert found == set(MEDIA_TYPES)
    assert any("gets no receipt" in event.text for event in events if isinstance(event, Log))
