"""Receipts: the statement says what an image was built from, and any other text is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jupyter_condabuild.errors import BadReceipt
from jupyter_condabuild.oci.image import Digest, canonical_json
from jupyter_condabuild.trust.dsse import Envelope
from jupyter_condabuild.trust.receipt import PAYLOAD_TYPE, Receipt, ReceiptLayer

LAYER = ReceiptLayer("ab12", Digest.of(b"blob"), Digest.of(b"tar"), ("numpy-1-0", "pip-2-0"))
RECEIPT = Receipt(
    image=Digest.of(b"manifest"),
    name="registry.lab.org/team/env",
    lockfile=str(Digest.of(b"lock")),
    platform="linux-64",
    base="docker.io/library/debian:12-slim",
    base_digest=str(Digest.of(b"base")),
    version="0.2.0",
    writer=3,
    layers=(LAYER,),
    packages=(("https://conda.anaconda.org/conda-forge/linux-64/numpy-1-0.conda", "0" * 64),),
    unproved=("2 files of no package",),
)


def test_a_receipt_is_read_as_it_was_written() -> None:
    """And the same receipt is the same bytes."""
    envelope = RECEIPT.envelope()
    assert Receipt.parse(envelope) == RECEIPT
    assert replace(RECEIPT).envelope() == envelope


def test_the_statement_has_the_standard_members() -> None:
    """The members that other programs read: subject, predicate type, builder, dependencies."""
    statement = json.loads(RECEIPT.envelope().payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": RECEIPT.name, "digest": {"sha256": RECEIPT.image.hex}}]
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert dependencies[0] == {"name": RECEIPT.base, "digest": {"sha256": Digest.of(b"base").hex}}
    assert dependencies[1]["uri"].endswith("numpy-1-0.conda")


def _without(statement: dict[str, object], path: str) -> dict[str, object]:
    value = statement
    *above, last = path.split("/")
    for name in above:
        value = value[name]  # type: ignore[assignment]
    del value[last]
    return statement


@pytest.mark.parametrize(
    "path",
    [
        "_type",
        "subject",
        "predicateType",
        "predicate/buildDefinition/buildType",
        "predicate/buildDefinition/externalParameters/lockfile",
        "predicate/buildDefinition/resolvedDependencies",
        "predicate/runDetails/byproducts",
        "predicate/runDetails/builder",
    ],
)
def test_an_incomplete_statement_is_refused(path: str) -> None:
    """A receipt without one of its members is refused."""
    statement = _without(json.loads(RECEIPT.envelope().payload), path)
    with pytest.raises(BadReceipt):
        Receipt.parse(Envelope(PAYLOAD_TYPE, canonical_json(statement)))


def test_a_receipt_of_the_docker_engine_is_read_as_it_was_written() -> None:
    """It has another type of build, no layers with keys, and no digest of a base that was in no registry."""
    made = replace(RECEIPT, engine="docker", layers=(), base_digest="", unproved=("all layers above the base",))
    assert Receipt.parse(made.envelope()) == made
    assert json.loads(made.envelope().payload)["predicate"]["buildDefinition"]["buildType"].endswith("#docker-v1")


def test_an_infinite_number_is_refused() -> None:
    """JSON has numbers that Python reads as infinite."""
    payload = RECEIPT.envelope().payload.replace(b'"writer":3', b'"writer":1e999')
    with pytest.raises(BadReceipt):
        Receipt.parse(Envelope(PAYLOAD_TYPE, payload))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"predicate": []}', b"[" * 100_000, b'{"predicate": {"buildDefinition": 1}}']
)
def test_any_other_payload_is_refused(payload: bytes) -> None:
    """A registry may give anything."""
    with pytest.raises(BadReceipt):
        Receipt.parse(Envelope(PAYLOAD_TYPE, payload))
    with pytest.raises(BadReceipt, match="not a statement"):
        Receipt.parse(replace(RECEIPT.envelope(), payload_type="text/plain"))
