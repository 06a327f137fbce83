"""verify proves every part of an image, and runs nothing of it: whatever is changed is named, or listed as unproved."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotVerified
from jupyter_condabuild.events import Event, Layer
from jupyter_condabuild.jobs import verify
from jupyter_condabuild.jobs.proof import layers
from jupyter_condabuild.oci.archive import Kind
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest
from jupyter_condabuild.requests.others import VerifyRequest
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata, Symlink
from tests.parts.forged_image import Forgery, Member
from tests.parts.forgeries import (
    FORGERIES,
    MODULE,
    NEEDING,
    entrypoint,
    extra,
    preload,
    root,
    twice,
    with_content,
    with_properties,
)
from tests.parts.hostile_python import HONEST, OTHER, hostile_prefix
from tests.parts.jobs import request, verified
from tests.parts.server.images import put_base, remove

PLACES = ("oci-archive", "docker-archive", "registry")


@dataclass
class Scene:
    """An honest image of a lock file whose interpreter is hostile, its base, and a store that has never built it."""

    saved: Path
    base: str
    store: Path
    sign: Path
    registry: str
    folder: Path

    def forgery(self) -> Forgery:
        """The image in parts."""
        return Forgery.of(self.saved)

    def place(self, forged: Forgery, kind: str) -> str:
        """Puts an image at a place; returns its name."""
        if kind == "registry":
            return forged.push(f"{self.registry}/forged/{uuid.uuid4().hex}:v1")
        written: Kind = "docker-archive" if kind == "docker-archive" else "oci-archive"
        return forged.write(self.folder / f"{uuid.uuid4().hex}.tar", written)

    def verified(self, forged: Forgery, kind: str = "oci-archive") -> verify.Verification:
        """The verification of an image at a place."""
        return verified(self.place(forged, kind), self.store)

    def differences(self, forged: Forgery, kind: str = "oci-archive") -> str:
        """Returns the differences as one text."""
        with pytest.raises(NotVerified) as raised:
            self.verified(forged, kind)
        assert "differ" in raised.value.message
        return raised.value.message


def _built(folder: Path, base: str, version: str = "") -> tuple[Path, Path, Path]:
    """An image whose modules an honest interpreter compiled; the sign of the hostile one, and the store."""
    prefix, sign = hostile_prefix(folder, version) if version else hostile_prefix(folder)
    lockfile = folder / "conda-lock.yml"
    lockfile.write_text(dump(lock(snapshot(prefix))))
    workshop = Workshop(folder, base)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jupyter_condabuild.planning.inputs.for_foreign_packages", lambda: "own")
        saved = workshop.image(lockfile)
    assert not sign.exists()
    return saved.archive, sign, workshop.store


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, registry: str) -> tuple[Path, Path, Path, str]:
    folder = tmp_path_factory.mktemp("honest")
    base = f"{registry}/verify/base-{uuid.uuid4().hex}:1"
    put_base(base)
    return (*_built(folder, base), base)


@pytest.fixture
def scene(honest: tuple[Path, Path, Path, str], tmp_path: Path, registry: str) -> Scene:
    saved, sign, store, base = honest
    return Scene(saved, base, store, sign, registry, tmp_path)


@pytest.mark.parametrize("kind", PLACES)
def test_an_honest_image_is_verified_and_nothing_of_it_runs(scene: Scene, kind: str) -> None:
    """Also bytecode, which our own interpreter compiles; in an empty store, so that everything is made again."""
    scene.store = scene.folder / "empty"
    found = scene.verified(scene.forgery(), kind)
    assert found.is_verified, found.text()
    assert f"the base {scene.base}@" in " ".join(found.proved)
    assert "needing-1.0-0" in found.proved
    assert not scene.sign.exists()


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_somebody_changed_is_named(scene: Scene, forgery: str) -> None:
    """Manifest and configuration agree with each other: only the content and the lock file say that it is wrong."""
    change, reason = FORGERIES[forgery]
    forged = scene.forgery()
    change(forged)
    said = scene.differences(forged)
    assert re.search(reason, said), said
    assert not scene.sign.exists()


@pytest.mark.parametrize("kind", ["docker-archive", "registry"])
@pytest.mark.parametrize("forgery", ["another entrypoint", "LD_PRELOAD", "setuid", "another layer of the base"])
def test_it_is_named_wherever_the_image_lies(scene: Scene, forgery: str, kind: str) -> None:
    """In a docker-archive, which has no annotations, and in a registry."""
    change, reason = FORGERIES[forgery]
    forged = scene.forgery()
    change(forged)
    assert reason in scene.differences(forged, kind)


def test_a_link_to_another_place_is_named(workshop: Workshop, tmp_path: Path) -> None:
    """The target of a link is compared."""
    package = (Metadata("one", "1", noarch="generic"), [File("share/one", b"1"), Symlink("share/link", "one")])
    channel = small_channel(tmp_path / "channel", [package])
    forged = Forgery.of(workshop.image(install(tmp_path / "env", channel, "one")).archive)
    forged.change("one-1-0", with_properties("opt/env/share/link", linkname="/etc/shadow"))
    with pytest.raises(NotVerified, match="a link to /etc/shadow instead of one"):
        verified(forged.write(tmp_path / "evil.tar"), workshop.store, base=workshop.base)


@pytest.mark.parametrize("kind", ["oci-archive", "registry"])
def test_content_that_is_not_what_its_diff_id_says(scene: Scene, kind: str) -> None:
    """The configuration names the honest diff_id; the blob under the digest is another."""
    forged = scene.forgery()
    forged.change(NEEDING, with_content(MODULE, b"EVIL = 1\n"), honest=True)
    assert "its diff_id" in scene.differences(forged, kind)


def test_bytes_that_are_not_what_their_digest_says(scene: Scene) -> None:
    """A source that gives other bytes of the same size."""
    forged = scene.forgery()
    target = scene.folder / "damaged.tar"
    name = forged.write(target)
    blob = forged.blobs[forged.layers[forged.number(NEEDING)].digest]
    target.write_bytes(target.read_bytes().replace(blob, blob[:-1] + b"x"))
    with pytest.raises(NotVerified, match="its bytes cannot be used"):
        verified(name, scene.store)


def test_a_layer_that_is_not_compressed_as_it_should_be(scene: Scene) -> None:
    """A gzip file that is cut off is an answer, not a crash."""
    forged = scene.forgery()
    number = forged.number(NEEDING)
    blob = forged.blobs[forged.layers[number].digest][:60]
    forged.layers[number] = Descriptor(OCI_LAYER_GZIP, Digest.of(blob), len(blob), forged.layers[number].annotations)
    forged.blobs[Digest.of(blob)] = blob
    assert "its bytes cannot be used" in scene.differences(forged, "registry")


def test_a_lock_file_that_names_other_packages(scene: Scene, tmp_path: Path) -> None:
    """The lock file of another environment in the same image."""
    other = tmp_path / "other"
    other.mkdir()
    prefix, _ = hostile_prefix(other, "3.11.1")
    lockfile = other / "conda-lock.yml"
    lockfile.write_text(dump(lock(snapshot(prefix))))
    workshop = Workshop(other, scene.base)
    donor = Forgery.of(workshop.image(lockfile, bytecode=False).archive)
    forged = scene.forgery()
    forged.config["org.jupyter.condabuild.lockfile"] = donor.config["org.jupyter.condabuild.lockfile"]
    said = scene.differences(forged)
    assert "the lock file has no package" in said or "is in no layer" in said


def test_a_base_that_is_gone_is_not_proved(scene: Scene) -> None:
    """Its layers and what the configuration may have from it are listed, also LD_PRELOAD; it is not called verified."""
    put_base(gone := f"{scene.registry}/verify/gone-{uuid.uuid4().hex}:1", b"gone")
    folder = scene.folder / "gone"
    folder.mkdir()
    saved, _, store = _built(folder, gone)
    remove(gone)
    forged = Forgery.of(saved)
    preload(forged)
    extra(forged)
    found = verified(forged.write(folder / "forged.tar"), store)
    assert not found.is_verified
    assert found.differs == ()
    said = " ".join(found.unproved)
    assert "layer 1" in said
    assert "layer 2" in said
    assert "variable LD_PRELOAD" in said
    assert "entrypoint and home" in found.proved


def test_all_makes_also_what_this_machine_has_made(scene: Scene) -> None:
    """Without --all, a layer that this machine has made before is known; its bytes in the image are still read."""
    name = scene.place(scene.forgery(), "oci-archive")
    for everything in (False, True):
        events: list[Event] = []
        options = {"reference": name, "store_dir": str(scene.store), "all": everything}
        assert verify.run(request(VerifyRequest, **options), events.append).is_verified
        assert any(isinstance(event, Layer) and event.state == "built" for event in events) is everything


def test_what_we_set_ourselves_is_compared_without_the_base(scene: Scene) -> None:
    """The search path begins with the environment, whatever the base has; the entrypoint is ours."""
    for change, name in ((twice, "variable PATH"), (entrypoint, "Entrypoint"), (root, "User")):
        forged = scene.forgery()
        forged.runtime["Labels"]["org.opencontainers.image.base.name"] = "gone.tar"
        change(forged)
        assert name in scene.differences(forged)


def test_a_base_of_another_digest(scene: Scene) -> None:
    """The label names an honest base, the layers are of another; and the user may say where the base is."""
    put_base(other := f"{scene.registry}/verify/other-{uuid.uuid4().hex}:1", b"other")
    name = scene.place(scene.forgery(), "oci-archive")
    with pytest.raises(NotVerified, match="has the digest"):
        verified(name, scene.store, base=other)
    assert verified(name, scene.store, base=scene.base).is_verified


def _forged_bytecode(found: list[Member]) -> list[Member]:
    return [(member, data[:-1] + b"x" if member.name.endswith(".pyc") else data) for member, data in found]


def test_forged_bytecode_is_not_proved(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytecode that our interpreter does not compile, of the right form: unproved, and the image is not verified."""
    monkeypatch.setattr(sandbox, "available", lambda: False)
    forged = scene.forgery()

    forged.change(NEEDING, _forged_bytecode)
    found = scene.verified(forged)
    assert not found.is_verified
    assert "the bytecode of 1 module" in " ".join(found.unproved)
    assert not scene.sign.exists()


@pytest.mark.parametrize("with_sandbox", [True, False])
def test_bytecode_of_another_release_is_not_proved_by_running_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, with_sandbox: bool
) -> None:
    """The hostile interpreter runs in a sandbox, or not at all; what it does not compile is not called verified."""
    if not with_sandbox:
        monkeypatch.setattr(sandbox, "available", lambda: False)
    monkeypatch.setenv("SECRET", "s3cr3t")
    folder = scene.folder / "other"
    folder.mkdir()
    saved, sign, _ = _built(folder, scene.base, OTHER)
    found = verified(saved, scene.folder / "empty")
    assert not found.is_verified
    assert "the bytecode of 1 module" in " ".join(found.unproved)
    assert not sign.exists()


def test_a_sandbox_proves_bytecode_of_another_interpreter(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment's own interpreter compiles in a sandbox, and what it does not compile differs."""
    monkeypatch.setattr(layers, "is_like_ours", lambda python: False)
    assert sandbox.available()
    prefix, _ = hostile_prefix(tmp_path, attack=HONEST)
    forged = Forgery.of(workshop.image(prefix).archive)
    assert verified(forged.write(tmp_path / "honest.tar"), tmp_path / "store", base=workshop.base).is_verified
    forged.change(NEEDING, _forged_bytecode)
    with pytest.raises(NotVerified, match="not what the environment's Python compiles"):
        verified(forged.write(tmp_path / "evil.tar"), tmp_path / "store", base=workshop.base)
