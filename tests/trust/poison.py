"""A registry in which an attacker may write: a victim, an honest labmate, and the ways to poison a build."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.image.layers import HIDDEN
from jupyter_condabuild.oci.image import LAYER_DIFF_ID, LAYER_KEY, OCI_LAYER_GZIP, Descriptor, Digest, Manifest
from jupyter_condabuild.oci.referrers import fallback_tag
from tests.parts.builds import Workshop
from tests.parts.channel.package import File, Metadata
from tests.parts.image_tree import SavedImage
from tests.parts.registry.faults import FakeRegistry
from tests.parts.small_image import tar
from tests.trust.test_signatures import allow, make_key

EVIL = {"opt/condabuild/entrypoint": b"#!/bin/sh\nexec evil\n", "opt/env/share/one": b"evil"}
PACKAGES = [
    (Metadata("one", "1", noarch="generic"), [File("share/one", b"one"), File("share/same", b"one")]),
    (Metadata("two", "1", noarch="generic", depends=("one",)), [File("share/two", b"two"), File("share/same", b"two")]),
]


@dataclass
class Scene:
    """A victim, an honest labmate, and a registry in which an attacker may write."""

    victim: Workshop
    honest: Workshop
    registry: FakeRegistry
    prefix: Path
    lockfile: Path

    def build(self, workshop: Workshop, name: str, source: Path | None = None, **request: Any) -> SavedImage:
        """Builds and pushes; returns the image that went out, as an archive that was written in the same build."""
        path = workshop.folder / f"{name.replace('/', '-')}.tar"
        given = {"reference": f"{self.registry.host}/{name}", "push": True, "archive": str(path), **request}
        workshop.build(source or self.lockfile, **given)
        return SavedImage(path)

    def manifest(self, repository: str, tag: str) -> Manifest:
        """The manifest under a tag."""
        media_type, raw = self.registry.manifests[repository][tag]
        return Manifest.parse(raw, media_type)

    def poison(self, repository: str, tag: str, *, honest_diff_id: bool = False) -> list[Digest]:
        """Replaces all package layers of a manifest by evil ones, under the honest keys; returns the evil digests."""
        manifest = self.manifest(repository, tag)
        layers, evil = [], []
        for number, layer in enumerate(manifest.layers):
            if LAYER_KEY not in layer.annotations:
                layers.append(layer)
                continue
            content = tar({**EVIL, f"opt/env/{number}": b""})
            blob = _gzip(content)
            digest = Digest.of(blob)
            self.registry.put(repository, blob)
            diff_id = layer.annotations[LAYER_DIFF_ID] if honest_diff_id else str(Digest.of(content))
            annotations = {**layer.annotations, LAYER_DIFF_ID: diff_id}
            layers.append(Descriptor(OCI_LAYER_GZIP, digest, len(blob), annotations))
            evil.append(digest)
        made = Manifest.make(manifest.config, layers, manifest.annotations)
        self.registry.put_manifest(repository, tag, made.media_type, made.raw)
        return evil


def _gzip(content: bytes) -> bytes:
    import gzip

    return gzip.compress(content, mtime=0)


def _destination(scene: Scene) -> dict[str, Any]:
    scene.build(scene.honest, "team/env:v1")
    scene.poison("team/env", "v1")
    return {}


def _honest_diff_ids(scene: Scene) -> dict[str, Any]:
    scene.build(scene.honest, "team/env:v1")
    scene.poison("team/env", "v1", honest_diff_id=True)
    return {}


def _cache(scene: Scene) -> dict[str, Any]:
    scene.build(scene.honest, "cache/env:v1")
    scene.poison("cache/env", "v1")
    return {"cache_from": [f"{scene.registry.host}/cache/env:v1"]}


def _pool(scene: Scene, *, honest_diff_id: bool = False) -> dict[str, Any]:
    pool = f"{scene.registry.host}/lab/layers"
    scene.build(scene.honest, "other/env:v1", layer_pool=pool)
    for key in [key for key in scene.registry.manifests["lab/layers"] if ":" not in key]:
        scene.poison("lab/layers", key, honest_diff_id=honest_diff_id)
    return {"layer_pool": pool}


def _pool_with_honest_diff_ids(scene: Scene) -> dict[str, Any]:
    return _pool(scene, honest_diff_id=True)


def _nightly_base(scene: Scene) -> dict[str, Any]:
    scene.build(scene.honest, "team/env:base-20260101")
    scene.poison("team/env", "base-20260101")
    return {}


def _stacked(scene: Scene) -> dict[str, Any]:
    scene.build(scene.honest, "team/env:v1")
    scene.poison("team/env", "v1")
    return {"stack": True}


def _hidden_layer(scene: Scene) -> dict[str, Any]:
    """One layer more, which the manifest calls replaced: a build that stacks keeps such layers without a look."""
    scene.build(scene.honest, "team/env:v1")
    honest = scene.manifest("team/env", "v1")
    blobs = scene.registry.blobs["team/env"]
    config = json.loads(blobs[str(honest.config.digest)])
    config["rootfs"]["diff_ids"].append(str(Digest.of(tar(EVIL))))
    config["history"].append(config["history"][-1])
    raw, blob = json.dumps(config).encode(), _gzip(tar(EVIL))
    for data in (raw, blob):
        scene.registry.put("team/env", data)
    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(blob), len(blob))
    descriptor = Descriptor(honest.config.media_type, Digest.of(raw), len(raw))
    made = Manifest.make(descriptor, [*honest.layers, layer], {**honest.annotations, HIDDEN: str(layer.digest)})
    scene.registry.put_manifest("team/env", "v1", made.media_type, made.raw)
    return {"stack": True}


def _hidden_layer_with_a_receipt_of_another_image(scene: Scene) -> dict[str, Any]:
    key = make_key(scene.victim.folder)
    scene.build(scene.honest, "team/env:v1", signing_key=str(key))
    honest = scene.manifest("team/env", "v1")
    given = _hidden_layer(scene)
    evil = scene.manifest("team/env", "v1")
    tags = scene.registry.manifests["team/env"]
    tags[fallback_tag(evil.descriptor.digest)] = tags[fallback_tag(honest.descriptor.digest)]
    return {**given, "trusted_signers": str(allow(scene.victim.folder, ("ada", key)))}


def _contested(scene: Scene) -> dict[str, Any]:
    """A layer more under a key that no package has, announced as the layer of paths of several packages."""
    scene.build(scene.honest, "team/env:v1")
    manifest = scene.manifest("team/env", "v1")
    blob = _gzip(tar(EVIL))
    scene.registry.put("team/env", blob)
    annotations = {LAYER_KEY: "e" * 64, LAYER_DIFF_ID: str(Digest.of(tar(EVIL)))}
    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(blob), len(blob), annotations)
    notes = {**manifest.annotations, "org.jupyter.condabuild.contested": "e" * 64}
    made = Manifest.make(manifest.config, [*manifest.layers, layer], notes)
    scene.registry.put_manifest("team/env", "v1", made.media_type, made.raw)
    return {}


def _unsigned_receipt(scene: Scene) -> dict[str, Any]:
    """Receipts that anybody may attach: without a signature."""
    given = _destination(scene)
    return {**given, "trusted_signers": str(allow(scene.victim.folder, ("ada", make_key(scene.victim.folder))))}


def _receipt_of_another_signer(scene: Scene) -> dict[str, Any]:
    key, other = make_key(scene.victim.folder), make_key(scene.honest.folder, "other")
    scene.build(scene.honest, "team/env:v1", signing_key=str(other))
    scene.poison("team/env", "v1")
    return {"trusted_signers": str(allow(scene.victim.folder, ("ada", key)))}


def _receipt_of_another_image(scene: Scene) -> dict[str, Any]:
    """A trusted signer's receipt of the honest image is attached to the evil image as well."""
    key = make_key(scene.victim.folder)
    scene.build(scene.honest, "team/env:v1", signing_key=str(key))
    honest = scene.manifest("team/env", "v1")
    scene.poison("team/env", "v1")
    evil = scene.manifest("team/env", "v1")
    tags = scene.registry.manifests["team/env"]
    tags[fallback_tag(evil.descriptor.digest)] = tags[fallback_tag(honest.descriptor.digest)]
    return {"trusted_signers": str(allow(scene.victim.folder, ("ada", key)))}


def _pool_with_a_receipt_of_other_layers(scene: Scene) -> dict[str, Any]:
    """The pool's artifacts keep the signed receipt of the honest layers, and name evil layers."""
    key = make_key(scene.victim.folder)
    pool = f"{scene.registry.host}/lab/layers"
    scene.build(scene.honest, "other/env:v1", layer_pool=pool, signing_key=str(key))
    for name in [name for name in scene.registry.manifests["lab/layers"] if ":" not in name]:
        scene.poison("lab/layers", name, honest_diff_id=True)
    return {"layer_pool": pool, "trusted_signers": str(allow(scene.victim.folder, ("ada", key)))}


def _a_pattern_that_almost_fits(scene: Scene) -> dict[str, Any]:
    given = _cache(scene)
    return {**given, "trusted_repositories": [f"{scene.registry.host}/cache", "evil/cache/env", "cache/env"]}


def own_store_says_otherwise(scene: Scene) -> dict[str, Any]:
    """The victim has built the layers before; then a trusted repository claims others."""
    scene.build(scene.victim, "mine/env:v1")
    given = _cache(scene)
    return {**given, "trusted_repositories": [f"{scene.registry.host}/cache/env"]}


def _own_store_says_otherwise_in_the_destination(scene: Scene) -> dict[str, Any]:
    scene.build(scene.victim, "team/env:v1")
    scene.poison("team/env", "v1")
    return {"trusted_repositories": [f"{scene.registry.host}/*"]}


def _broken_manifest(scene: Scene) -> dict[str, Any]:
    scene.build(scene.honest, "team/env:v1")
    scene.registry.put_manifest("team/env", "v1", "application/vnd.oci.image.manifest.v1+json", b'{"layers": "x"}')
    return {}


WAYS: dict[str, Callable[[Scene], dict[str, Any]]] = {
    "the destination": _destination,
    "the destination, with honest diff_ids": _honest_diff_ids,
    "a cache image": _cache,
    "the pool": _pool,
    "the pool, with honest diff_ids": _pool_with_honest_diff_ids,
    "a nightly base": _nightly_base,
    "the image that is stacked on": _stacked,
    "a replaced layer of the image that is stacked on": _hidden_layer,
    "the same, with a receipt of another image": _hidden_layer_with_a_receipt_of_another_image,
    "a layer of contested paths": _contested,
    "a receipt without a signature": _unsigned_receipt,
    "a receipt of another signer": _receipt_of_another_signer,
    "a receipt of another image": _receipt_of_another_image,
    "a pool whose receipts are of other layers": _pool_with_a_receipt_of_other_layers,
    "a pattern that almost fits": _a_pattern_that_almost_fits,
    "a trusted cache that contradicts the store": own_store_says_otherwise,
    "a trusted destination that contradicts the store": _own_store_says_otherwise_in_the_destination,
    "a manifest that is broken": _broken_manifest,
}
