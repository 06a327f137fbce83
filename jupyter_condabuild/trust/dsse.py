"""Envelope: a text with signatures, as DSSE describes it.

Source: github.com/secure-systems-lab/dsse, protocol.md and envelope.md, version 1.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.errors import BadReceipt
from jupyter_condabuild.oci.image import canonical_json

MEDIA_TYPE = "application/vnd.dsse.envelope.v1+json"


@dataclass(frozen=True)
class Signature:
    """One signature of an envelope: `key_id` names the key, `value` is the bytes that the key made."""

    key_id: str
    value: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload of some type, and its signatures."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def signed_bytes(self) -> bytes:
        """The bytes that a signature is made of (protocol.md, "Signature Definition", PAE)."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def to_bytes(self) -> bytes:
        """The envelope as JSON, the same bytes for the same envelope."""
        signatures = [{"keyid": one.key_id, "sig": base64.b64encode(one.value).decode()} for one in self.signatures]
        payload = base64.b64encode(self.payload).decode()
        return canonical_json({"payloadType": self.payload_type, "payload": payload, "signatures": signatures})

    @classmethod
    def parse(cls, raw: bytes) -> Envelope:
        """Reads the JSON of an envelope. Raises BadReceipt."""
        try:
            value = json.loads(raw)
            signatures = tuple(
                Signature(str(one.get("keyid", "")), _decoded(one["sig"])) for one in value["signatures"]
            )
            return cls(str(value["payloadType"]), _decoded(value["payload"]), signatures)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BadReceipt("The receipt is not a DSSE envelope.") from None


def _decoded(text: Any) -> bytes:
    """Base64 of either alphabet, as envelope.md allows."""
    if not isinstance(text, str):
        raise TypeError(text)
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
