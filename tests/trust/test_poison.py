"""Poison: nobody but the user's own machine, a trusted repository or a trusted signer decides a byte of an image."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LayerForged, SigningFailed
from jupyter_condabuild.events import Log
from jupyter_condabuild.oci.image import LAYER_DIFF_ID, LAYER_KEY, Digest
from jupyter_condabuild.oci.layout import Store
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.registry.faults import FakeRegistry
from tests.trust.poison import PACKAGES, WAYS, Scene, own_store_says_otherwise
from tests.trust.test_signatures import allow, make_key


@pytest.fixture
def scene(tmp_path: Path, small_base: str, fake_registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("jupyter_condabuild.planning.layer_plan.THRESHOLDS", (0,))
    monkeypatch.setattr("jupyter_condabuild.engines.layers.audit.LEAST_SECONDS", 120.0)
    channel = small_channel(tmp_path / "channel", PACKAGES)
    prefix = install(tmp_path / "env", channel, "one", "two")
    for name in ("victim", "honest"):
        (tmp_path / name).mkdir()
    victim, honest = (Workshop(tmp_path / name, small_base, trusted=()) for name in ("victim", "honest"))
    lockfile = tmp_path / "conda-lock.yml"
    lockfile.write_text(dump(lock(snapshot(prefix))))
    return Scene(victim, honest, fake_registry, prefix, lockfile)


@pytest.mark.parametrize("source", ["lock file", "prefix"])
@pytest.mark.parametrize("way", WAYS)
def test_no_poison_is_adopted(scene: Scene, way: str, source: str) -> None:
    """The victim's image has the packages' files, and the digest of an image that was built without the registry."""
    given = WAYS[way](scene)
    chosen = scene.lockfile if source == "lock file" else scene.prefix
    image = scene.build(scene.victim, "team/env:v1", chosen, **given)
    (scene.honest.folder / "alone").mkdir()
    alone = Workshop(scene.honest.folder / "alone", scene.victim.base).image(chosen)
    assert image.read("opt/env/share/one") == b"one"
    assert image.read("opt/env/share/same") == b"two"
    assert b"evil" not in image.read("opt/condabuild/entrypoint")
    assert image.digest == alone.digest


def test_an_honest_destination_saves_the_upload(scene: Scene) -> None:
    """The victim trusts nobody: all is built, nothing is uploaded that is there, and the log says why."""
    scene.build(scene.honest, "team/env:v1")
    scene.build(scene.victim, "team/env:v1")
    assert scene.victim.layers("built") == {"one-1-0", "two-1-0"}
    assert scene.victim.layers("pushed") == set()
    logged = [event.text for event in scene.victim.events if isinstance(event, Log)]
    assert any("nobody whom you trust vouches" in text and "trusted_repositories" in text for text in logged)


def test_an_honest_pool_that_nobody_trusts_saves_the_upload(scene: Scene) -> None:
    """Blobs are mounted from it, and it is asked for no manifest."""
    pool = f"{scene.registry.host}/lab/layers"
    scene.build(scene.honest, "one/env:v1", layer_pool=pool)
    scene.registry.seen.clear()
    scene.build(scene.victim, "two/env:v1", layer_pool=pool)
    assert scene.victim.layers("built") == {"one-1-0", "two-1-0"}
    assert scene.victim.layers("mounted") >= {"one-1-0", "two-1-0"}
    assert not [seen for seen in scene.registry.seen if seen.method == "GET" and "lab/layers/manifests" in seen.path]


@pytest.mark.parametrize("where", ["destination", "cache", "pool"])
@pytest.mark.parametrize("why", ["repository", "signer"])
def test_what_somebody_vouches_for_is_not_built(scene: Scene, where: str, why: str) -> None:
    """A trusted repository, or a signed receipt: no package is linked, no byte is sent."""
    key = make_key(scene.honest.folder)
    pool = {"layer_pool": f"{scene.registry.host}/lab/layers"} if where == "pool" else {}
    signing = {"signing_key": str(key)} if why == "signer" else {}
    scene.build(scene.honest, "cache/env:v1" if where != "destination" else "team/env:v1", **pool, **signing)
    given: dict[str, Any] = {**pool}
    if where == "cache":
        given["cache_from"] = [f"{scene.registry.host}/cache/env:v1"]
    if why == "signer":
        given["trusted_signers"] = str(allow(scene.victim.folder, ("ada@lab.org", key)))
    else:
        given["trusted_repositories"] = [f"{scene.registry.host}/*"]
    scene.build(scene.victim, "team/env:v1", **given)
    assert scene.victim.layers("built") == set()
    assert scene.victim.layers("reused-remote") >= {"one-1-0", "two-1-0"}
    logged = [event.text for event in scene.victim.events if isinstance(event, Log)]
    assert any(text.startswith("Checked the layer of") for text in logged)


def test_a_contradiction_is_a_warning(scene: Scene) -> None:
    """It names the packages, the repository, and the voucher."""
    given = own_store_says_otherwise(scene)
    scene.build(scene.victim, "team/env:v1", **given)
    message = scene.victim.warnings["claim-contradicts-store"]
    assert f"{scene.registry.host}/cache/env" in message
    assert "this machine has built" in message


@pytest.mark.parametrize("honest_diff_id", [False, True])
@pytest.mark.parametrize("why", ["repository", "signer"])
def test_the_audit_finds_a_forged_layer_of_a_trusted_source(scene: Scene, honest_diff_id: bool, why: str) -> None:
    """The build fails before the image is visible, names repository, key and voucher, and the next one builds."""
    key = make_key(scene.honest.folder)
    scene.build(scene.honest, "cache/env:v1")
    scene.poison("cache/env", "v1", honest_diff_id=honest_diff_id)
    given: dict[str, Any] = {"cache_from": [f"{scene.registry.host}/cache/env:v1"]}
    if why == "signer":
        _sign(scene, key)
        given["trusted_signers"] = str(allow(scene.victim.folder, ("ada@lab.org", key)))
    else:
        given["trusted_repositories"] = [f"{scene.registry.host}/cache/env"]
    for _ in range(2):  # one layer is looked at in each build, and there are two
        with pytest.raises(LayerForged) as failed:
            scene.build(scene.victim, "team/env:v1", **given)
        assert f"{scene.registry.host}/cache/env" in failed.value.message
        assert "key " in failed.value.message
        assert ("ada@lab.org" if why == "signer" else "cache/env") in failed.value.message
        assert "v1" not in scene.registry.manifests.get("team/env", {})
    image = scene.build(scene.victim, "team/env:v1", **given)
    assert image.read("opt/env/share/one") == b"one"
    assert "layer-distrusted" in scene.victim.warnings


def _sign(scene: Scene, key: Path) -> None:
    """A signer who has turned evil: a receipt of the evil image, with the evil layers."""
    from jupyter_condabuild.distribution.statements import Statements
    from jupyter_condabuild.trust.receipt import Receipt, ReceiptLayer
    from tests.parts.registry.pushing import connect

    manifest = scene.manifest("cache/env", "v1")
    layers = tuple(
        ReceiptLayer(layer.annotations[LAYER_KEY], layer.digest, Digest.parse(layer.annotations[LAYER_DIFF_ID]))
        for layer in manifest.layers
        if LAYER_KEY in layer.annotations
    )
    digest = str(Digest.of(b""))
    receipt = Receipt(manifest.descriptor.digest, "x", digest, "linux-64", "base", digest, "1", 2, layers)
    with connect(scene.registry.host) as connected:
        repository = connected.repository("cache/env")
        Statements.of(receipt, key).attach(repository, manifest.descriptor, lambda event: None)


def test_the_stores_memory_is_not_made_of_claims(scene: Scene) -> None:
    """A layer that was adopted is not remembered as one that was built here."""
    scene.build(scene.honest, "cache/env:v1")
    given = {"cache_from": [f"{scene.registry.host}/cache/env:v1"]}
    scene.build(scene.victim, "team/env:v1", trusted_repositories=[f"{scene.registry.host}/cache/env"], **given)
    keys = {layer.annotations.get(LAYER_KEY, "") for layer in scene.manifest("cache/env", "v1").layers} - {""}
    with Store(scene.victim.store) as store:
        assert [key for key in keys if store.layer(key)] == []


def test_a_receipt_is_attached_to_each_image_that_is_pushed(scene: Scene) -> None:
    """Once, unsigned without a key; the image's digest is the same with and without."""
    first = scene.build(scene.honest, "team/env:v1")
    key = make_key(scene.victim.folder)
    second = scene.build(scene.victim, "team/env:v1", signing_key=str(key))
    assert first.digest == second.digest
    tag = f"sha256-{scene.manifest('team/env', 'v1').descriptor.digest.hex}"
    listed = json.loads(scene.registry.manifests["team/env"][tag][1])["manifests"]
    assert [entry["annotations"] for entry in listed if "annotations" in entry] == [
        {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"}
    ] * 2


def test_a_key_that_cannot_sign_ends_the_build_before_anything_is_visible(scene: Scene) -> None:
    """A person who asks for a signature does not get an image without one."""
    with pytest.raises(SigningFailed):
        scene.build(scene.victim, "team/env:v1", signing_key=str(scene.victim.folder / "nothing"))
    assert "v1" not in scene.registry.manifests.get("team/env", {})


def test_a_registry_without_room_for_receipts_gives_a_warning(scene: Scene) -> None:
    """The image is there all the same."""
    from tests.parts.registry.faults import spec_error

    scene.registry.on("PUT", "manifests/sha256", *[spec_error(403, "DENIED", "no artifacts here")] * 5)
    scene.build(scene.victim, "team/env:v1")
    assert "no artifacts here" in scene.victim.warnings["receipt-not-attached"]
    assert "v1" in scene.registry.manifests["team/env"]


def test_an_empty_store_and_no_trust_is_no_obstacle(scene: Scene) -> None:
    """The same machine remembers what it built: the second image is adopted from its own push."""
    scene.build(scene.victim, "team/env:v1")
    shutil.rmtree(scene.victim.store / "blobs")
    (scene.victim.store / "blobs/sha256").mkdir(parents=True)
    scene.build(scene.victim, "team/env:v2")
    assert scene.victim.layers("built") == set()


def test_an_audit_that_takes_too_long_is_reported_and_ended(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is pushed. No thread and no connection of the audit is left."""
    monkeypatch.setattr("jupyter_condabuild.engines.layers.audit.LEAST_SECONDS", 0.0)
    monkeypatch.setattr("jupyter_condabuild.engines.layers.audit.SHARE", 0.0)
    scene.build(scene.honest, "cache/env:v1")
    given = {"cache_from": [f"{scene.registry.host}/cache/env:v1"]}
    scene.build(scene.victim, "team/env:v1", trusted_repositories=[f"{scene.registry.host}/cache/env"], **given)
    logged = [event.text for event in scene.victim.events if isinstance(event, Log)]
    assert any("was not checked: the check took too long" in text for text in logged)
    assert "v1" in scene.registry.manifests["team/env"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("audit")]
