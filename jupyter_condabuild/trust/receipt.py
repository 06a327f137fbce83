"""Receipt: the inputs of an image, layer by layer, as a statement that can be signed.

The statement is an in-toto Statement v1 with SLSA provenance v1 as its predicate. The same image has the same receipt:
the receipt contains no time and no name of the machine.

Source: github.com/in-toto/attestation, spec/v1/statement.md and resource_descriptor.md; slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jupyter_condabuild import __version__
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadReceipt, ImageError
from jupyter_condabuild.image.apt_label import AddedPackage
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.oci.image import LAYER_KEY, LAYER_PACKAGES, Digest, Manifest, Reference, canonical_json
from jupyter_condabuild.oci.layer import WRITER_VERSION
from jupyter_condabuild.trust.dsse import Envelope

Engine = Literal["layers", "docker"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILDER = "https://pypi.org/project/jupyter-condabuild/"
BUILD_TYPES: dict[str, Engine] = {f"{BUILDER}#layers-v1": "layers", f"{BUILDER}#docker-v1": "docker"}
"""The engine that each type of build names."""


@dataclass(frozen=True)
class ReceiptLayer:
    """A layer with a key: the digest of its blob, its diff_id, and the packages that it holds."""

    key: str
    digest: Digest
    diff_id: Digest
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Receipt:
    """The inputs of an image.

    `image` is the digest of its manifest, `name` its repository; `lockfile` is the digest of the lock file, `base` the
    name and `base_digest` the digest of the base image. `version` is that of this program, `writer` that of the layers'
    format. `packages` are the URL and sha256 of each conda package, and of each package of Debian
    that was added to the base (as purl). `unproved` names the layers without a package.
    An image of the docker engine has no `layers` with keys. `base_digest` is empty if its base was in no registry.
    """

    image: Digest
    name: str
    lockfile: str
    platform: str
    base: str
    base_digest: str
    version: str
    writer: int
    layers: tuple[ReceiptLayer, ...]
    packages: tuple[tuple[str, str], ...] = ()
    unproved: tuple[str, ...] = ()
    engine: Engine = "layers"

    def envelope(self) -> Envelope:
        """The receipt as an envelope without a signature."""
        return Envelope(PAYLOAD_TYPE, canonical_json(self._statement()))

    def _statement(self) -> dict[str, Any]:
        base = {"name": self.base, "digest": _digests(self.base_digest) if self.base_digest else {}}
        build_type = next(name for name, engine in BUILD_TYPES.items() if engine == self.engine)
        return {
            "_type": STATEMENT,
            "subject": [{"name": self.name, "digest": _digests(str(self.image))}],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": build_type,
                    "externalParameters": {"lockfile": self.lockfile, "platform": self.platform, "base": self.base},
                    "internalParameters": {"writer": self.writer, "unproved": list(self.unproved)},
                    "resolvedDependencies": [
                        base,
                        *({"uri": url, "digest": {"sha256": digest}} for url, digest in self.packages),
                    ],
                },
                "runDetails": {
                    "builder": {"id": BUILDER, "version": {"jupyter-condabuild": self.version}},
                    "byproducts": [_layer(layer) for layer in self.layers],
                },
            },
        }

    @classmethod
    def parse(cls, envelope: Envelope) -> Receipt:
        """Reads the statement of an envelope, whose signature is checked elsewhere. Raises BadReceipt."""
        if envelope.payload_type != PAYLOAD_TYPE:
            raise BadReceipt(f"The envelope holds {envelope.payload_type[:100]!r}, not a statement.")
        try:
            value = json.loads(envelope.payload)
            definition = value["predicate"]["buildDefinition"]
            engine = BUILD_TYPES.get(definition["buildType"])
            if engine is None or (value["_type"], value["predicateType"]) != (STATEMENT, PREDICATE):
                raise BadReceipt("The statement is not a receipt of jupyter-condabuild.")
            [subject] = value["subject"]
            base, *packages = definition["resolvedDependencies"]
            details = value["predicate"]["runDetails"]
            return cls(
                image=Digest.parse(f"sha256:{subject['digest']['sha256']}"),
                name=str(subject["name"]),
                lockfile=str(definition["externalParameters"]["lockfile"]),
                platform=str(definition["externalParameters"]["platform"]),
                base=str(base["name"]),
                base_digest=f"sha256:{base['digest']['sha256']}" if engine == "layers" or base["digest"] else "",
                version=str(details["builder"]["version"]["jupyter-condabuild"]),
                writer=int(definition["internalParameters"]["writer"]),
                layers=tuple(_parse_layer(layer) for layer in details["byproducts"]),
                packages=tuple((str(one["uri"]), str(one["digest"]["sha256"])) for one in packages),
                unproved=tuple(map(str, definition["internalParameters"]["unproved"])),
                engine=engine,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, ImageError):
            raise BadReceipt("The receipt is not complete.") from None


def receipt_of(
    manifest: Manifest,
    reference: Reference,
    lockfile: Lockfile,
    base: str,
    base_digest: str,
    layers: Sequence[ReadyLayer] = (),
    engine: Engine = "layers",
    added: Iterable[AddedPackage] = (),
) -> Receipt:
    """Returns the receipt of an image that was built here.

    Args:
        base: the name of the base.
        base_digest: the digest of the base; empty if the docker engine had the base from no registry.
        layers: the layers above the base. The first layer has the programs of the image. Empty for the docker engine,
            none of whose layers can be proved.
        added: the packages of Debian that were added to the base.
    """
    unproved = tuple(layer.title for layer in layers[1:] if LAYER_KEY not in layer.descriptor.annotations)
    return Receipt(
        image=manifest.descriptor.digest,
        name=f"{reference.registry}/{reference.repository}",
        lockfile=lockfile.digest,
        platform=lockfile.platform,
        base=base,
        base_digest=base_digest,
        version=__version__,
        writer=WRITER_VERSION,
        layers=tuple(
            ReceiptLayer(key, layer.descriptor.digest, layer.diff_id, _packages(layer))
            for layer in layers
            if (key := layer.descriptor.annotations.get(LAYER_KEY, ""))
        ),
        packages=(
            *((package.url, package.sha256) for package in lockfile.conda),
            *((package.purl, package.sha256) for package in added),
        ),
        unproved=("all layers above the base",) if engine == "docker" else unproved,
        engine=engine,
    )


def _packages(layer: ReadyLayer) -> tuple[str, ...]:
    return tuple(layer.descriptor.annotations.get(LAYER_PACKAGES, "").split())


def _digests(text: str) -> dict[str, str]:
    algorithm, _, digits = text.partition(":")
    return {algorithm: digits}


def _layer(layer: ReceiptLayer) -> dict[str, Any]:
    annotations = {"diff_id": str(layer.diff_id), "packages": list(layer.packages)}
    return {"name": layer.key, "digest": _digests(str(layer.digest)), "annotations": annotations}


def _parse_layer(value: Mapping[str, Any]) -> ReceiptLayer:
    annotations = value["annotations"]
    packages: Sequence[Any] = annotations["packages"]
    return ReceiptLayer(
        key=str(value["name"]),
        digest=Digest.parse(f"sha256:{value['digest']['sha256']}"),
        diff_id=Digest.parse(annotations["diff_id"]),
        packages=tuple(map(str, packages)),
    )
