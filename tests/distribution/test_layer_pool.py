"""The layer pool: layers of one user are not built or uploaded by other users.

Faults of the pool do not end a build.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jupyter_condabuild.distribution import layer_pool
from jupyter_condabuild.distribution.layer_index import annotate
from jupyter_condabuild.distribution.layer_pool import ARTIFACT
from jupyter_condabuild.events import Layer
from jupyter_condabuild.oci.image import OCI_CONFIG, Descriptor, Digest, Manifest
from tests.parts.builds import Workshop, explicit, install, small_channel
from tests.parts.channel import channel as channels
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.registry.faults import FakeRegistry, spec_error
from tests.parts.registry.pushing import blob

NAMES = [f"p{number:02}" for number in range(layer_pool.FIRST + 8)]
DISTS = {f"{name}-1-0" for name in NAMES}


@pytest.fixture(scope="module")
def lockfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The number is higher than that of the first lookups."""
    folder = tmp_path_factory.mktemp("lab")
    packages = [(Metadata(name, "1", noarch="generic"), [File(f"share/{name}", name.encode() * 100)]) for name in NAMES]
    channel = small_channel(folder / "channel", packages)
    install(folder / "env", channel, *NAMES)
    return explicit(channel, folder / "explicit.txt")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each package its own layer, however small it is."""
    monkeypatch.setattr("jupyter_condabuild.planning.layer_plan.THRESHOLDS", (0,))


@pytest.fixture
def lab(registry: str) -> str:
    """A repository in the real registry for one test."""
    return f"{registry}/lab/{uuid.uuid4().hex}"


@pytest.fixture
def labmate(tmp_path: Path, small_base: str) -> Workshop:
    """Another user with another store."""
    (tmp_path / "labmate").mkdir()
    return Workshop(tmp_path / "labmate", small_base)


def warnings(user: Workshop) -> list[str]:
    """Returns the codes of a user's warnings, without those of the channel and the registry on this machine."""
    return [code for code in user.warnings if code not in ("local-channel", "local-name")]


def test_layers_in_the_pool_are_not_built_or_uploaded_again(
    workshop: Workshop, labmate: Workshop, lockfile: Path, lab: str
) -> None:
    """With another repository and another store, all layers are mounted, and the image is the same."""
    pool = f"{lab}/layers"
    first = workshop.build(lockfile, reference=f"{lab}/one/env:v1", push=True, layer_pool=pool)
    assert workshop.layers("pushed") >= DISTS
    second = labmate.build(lockfile, reference=f"{lab}/two/env:v1", push=True, layer_pool=pool)
    assert labmate.layers("built") == set()
    assert labmate.layers("mounted") >= DISTS
    assert second.event.digest == first.event.digest
    own = {layer.descriptor.digest for layer in second.layers if layer.descriptor.annotations}
    rest = [layer for layer in second.image.manifest.layers if layer.digest not in own]
    assert second.event.bytes_pushed == sum(layer.size for layer in rest) + second.image.manifest.config.size
    assert warnings(workshop) == []
    assert warnings(labmate) == []


def test_layers_of_the_store_are_mounted(workshop: Workshop, lockfile: Path, lab: str) -> None:
    """The same user pushes to a new repository. No layer is looked up, and no layer of the pool is uploaded."""
    pool = f"{lab}/layers"
    workshop.build(lockfile, reference=f"{lab}/one/env:v1", push=True, layer_pool=pool)
    workshop.build(lockfile, reference=f"{lab}/two/env:v1", push=True, layer_pool=pool)
    assert workshop.layers("mounted") >= DISTS


def test_users_can_publish_at_the_same_time(
    tmp_path: Path, small_base: str, labmate: Workshop, lockfile: Path, lab: str
) -> None:
    """Four users build at the same time. A later user builds nothing."""
    pool = f"{lab}/layers"

    def build(number: int) -> str:
        (tmp_path / str(number)).mkdir()
        mate = Workshop(tmp_path / str(number), small_base)
        built = mate.build(lockfile, reference=f"{lab}/{number}/env:v1", push=True, layer_pool=pool)
        assert warnings(mate) == []
        return built.event.digest

    with ThreadPoolExecutor(4) as threads:
        digests = set(threads.map(build, range(4)))
    assert len(digests) == 1
    labmate.build(lockfile, reference=f"{lab}/late/env:v1", push=True, layer_pool=pool)
    assert labmate.layers("built") == set()


@pytest.fixture
def fake(fake_registry: FakeRegistry, workshop: Workshop, lockfile: Path) -> FakeRegistry:
    """A registry whose pool `lab/layers` has every layer."""
    _build(workshop, fake_registry, lockfile, "one")
    fake_registry.seen.clear()
    return fake_registry


def _build(mate: Workshop, fake: FakeRegistry, lockfile: Path, who: str) -> str:
    pool = f"{fake.host}/lab/layers"
    return mate.build(lockfile, reference=f"{fake.host}/{who}/env:v1", push=True, layer_pool=pool).event.digest


def _lookups(fake: FakeRegistry) -> int:
    return fake.times("GET", "lab/layers/manifests")


def test_the_lookups_stop_if_the_largest_layers_are_missing(
    fake_registry: FakeRegistry, workshop: Workshop, lockfile: Path
) -> None:
    """More requests would take more time than they could save."""
    _build(workshop, fake_registry, lockfile, "one")
    assert _lookups(fake_registry) == layer_pool.FIRST < len(NAMES)


def test_known_layers_are_not_looked_up(
    fake: FakeRegistry, workshop: Workshop, labmate: Workshop, lockfile: Path
) -> None:
    """Layers in the image's own repository or in the store are not looked up."""
    _build(workshop, fake, lockfile, "one")
    _build(workshop, fake, lockfile, "two")
    assert _lookups(fake) == 0
    _build(labmate, fake, lockfile, "three")
    assert _lookups(fake) == len(NAMES)


def test_a_build_without_changes_does_not_write_to_the_pool(
    fake: FakeRegistry, labmate: Workshop, lockfile: Path
) -> None:
    """A build that takes its layers from the pool does not write either."""
    _build(labmate, fake, lockfile, "two")
    _build(labmate, fake, lockfile, "two")
    assert {seen.method for seen in fake.seen if "/lab/layers/" in seen.path} == {"GET"}


def test_pruned_layers_are_built_again(fake: FakeRegistry, labmate: Workshop, lockfile: Path) -> None:
    """The layers that the build makes again are also published again."""
    kept = {key: found for key, found in fake.manifests["lab/layers"].items() if key < "8"}
    gone = {key for key in fake.manifests["lab/layers"] if ":" not in key} - kept.keys()
    assert kept
    assert gone
    fake.manifests["lab/layers"] = dict(kept)
    _build(labmate, fake, lockfile, "two")
    assert len(labmate.layers("built")) == len(gone)
    assert fake.manifests["lab/layers"].keys() >= gone


def test_a_pool_with_missing_blobs_is_not_used(fake: FakeRegistry, labmate: Workshop, lockfile: Path) -> None:
    """Its manifests name layers that do not exist. They are built, and the build says why it starts again."""
    digest = Digest.of(fake.manifests["one/env"]["v1"][1])
    for repository in ("lab/layers", "one/env"):
        fake.blobs[repository].clear()
    assert _build(labmate, fake, lockfile, "two") == str(digest)
    assert labmate.layers("built") == DISTS
    assert warnings(labmate) == ["blob-gone"]


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_read_only_pool_is_only_read(
    fake_registry: FakeRegistry, workshop: Workshop, lockfile: Path, status: int
) -> None:
    """The build continues, warns once, and does not try again."""
    fake_registry.on("PUT", "lab/layers/manifests", *[spec_error(status, "DENIED", "no")] * 100)
    _build(workshop, fake_registry, lockfile, "one")
    assert warnings(workshop) == ["layer-pool-not-written"]
    assert fake_registry.times("PUT", "lab/layers/manifests") <= 8  # the concurrent requests, some with a login


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_unreadable_pool_is_ignored(fake: FakeRegistry, labmate: Workshop, lockfile: Path, status: int) -> None:
    """The build continues as without a pool."""
    fake.on("GET", "lab/layers/manifests", *[spec_error(status, "DENIED", "no")] * 100)
    _build(labmate, fake, lockfile, "two")
    assert labmate.layers("built") == DISTS
    assert warnings(labmate) == ["layer-pool-not-read"]
    assert _lookups(fake) <= 2 * layer_pool.AT_ONCE


def test_a_registry_without_mounts_gives_one_warning(
    fake_registry: FakeRegistry, workshop: Workshop, lockfile: Path
) -> None:
    """A pool is of no use in such a registry."""
    fake_registry.on("POST", r"lab/layers/blobs/uploads/\?mount", *[spec_error(404, "NAME_UNKNOWN", "no")] * 100)
    _build(workshop, fake_registry, lockfile, "one")
    assert warnings(workshop) == ["layer-pool-not-written"]


def test_a_wrong_manifest_under_a_key_is_not_used(fake: FakeRegistry, labmate: Workshop, lockfile: Path) -> None:
    """Another layer, a layer without a diff_id, and a document that is no manifest: the layers are built."""
    keys = sorted(key for key in fake.manifests["lab/layers"] if ":" not in key)
    config = Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2)
    wrong = (
        Manifest.make(config, [annotate(blob(b"x"), keys[1], Digest.of(b"x"), ["x"])]),
        Manifest.make(config, [blob(b"x")]),
    )
    for key, manifest in zip(keys, wrong, strict=False):
        fake.put_manifest("lab/layers", key, manifest.media_type, manifest.raw)
    fake.put_manifest("lab/layers", keys[2], ARTIFACT, b"[]")
    _build(labmate, fake, lockfile, "two")
    assert len(labmate.layers("built")) == 3
    assert warnings(labmate) == []


def test_a_pool_in_another_registry_is_not_read(
    fake_registry: FakeRegistry, elsewhere: FakeRegistry, workshop: Workshop, lockfile: Path
) -> None:
    """Blobs cannot be mounted from another registry."""
    pool = f"{elsewhere.host}/lab/layers"
    workshop.build(lockfile, reference=f"{fake_registry.host}/one/env:v1", push=True, layer_pool=pool)
    assert warnings(workshop) == ["layer-pool-elsewhere"]
    assert not elsewhere.seen


def test_an_image_with_lost_blobs_is_pushed_again(
    fake_registry: FakeRegistry, workshop: Workshop, lockfile: Path
) -> None:
    """The manifest of the repository names lost blobs. The registry says so when the new manifest is pushed."""
    reference = f"{fake_registry.host}/one/env"
    first = workshop.build(lockfile, reference=f"{reference}:v1", push=True)
    fake_registry.blobs["one/env"].clear()
    fake_registry.on("PUT", "manifests/v2", spec_error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"))
    workshop.build(lockfile, reference=f"{reference}:v2", push=True, cache_from=(f"{reference}:v1",))
    assert warnings(workshop) == ["blob-gone"]
    there = fake_registry.blobs["one/env"].keys()
    assert {str(layer.digest) for layer in first.image.manifest.layers} <= there


def test_layers_of_packages_with_a_login_are_not_in_the_pool(
    workshop: Workshop, lockfile: Path, fake_registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their layers are only in the image, and a warning says that the image contains them."""
    channel = Channel(lockfile.parent / "channel")
    with channels.serve(channel) as url:
        private = url.replace("127.0.0.1", "localhost")
        text = lockfile.read_text().replace(channel.folder.as_uri(), url)
        (tmp_path / "lock.txt").write_text(text.replace(f"{url}/noarch/p00-", f"{private}/noarch/p00-"))
        (tmp_path / "netrc").write_text("machine localhost login me password canary\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        _build(workshop, fake_registry, tmp_path / "lock.txt", "one")
    layers = [event for event in workshop.events if isinstance(event, Layer) and event.state == "pushed" and event.key]
    sent = {seen.path.rpartition("/")[2] for seen in fake_registry.seen if seen.method == "PUT"}
    assert {layer.packages for layer in layers if layer.key not in sent} == {("p00-1-0",)}
    assert len(layers) == len(NAMES)
    assert "p00-1-0" in workshop.warnings["private-packages"]
