"""The packages of an environment whose files an earlier build compared with their records, kept in the local store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from jupyter_condabuild.oci.layout import Store


def read(store: Store, prefix: str) -> dict[str, str]:
    """The stamps of an environment's packages that the last build found to be as recorded, by dist."""
    try:
        value = json.loads(store.memory(_name(prefix)))
    except ValueError:
        return {}
    return {str(dist): str(text) for dist, text in value.items()} if isinstance(value, dict) else {}


def keep(store: Store, prefix: str, stamps: Mapping[str, str]) -> None:
    """Keeps them for the next build, if they are others."""
    if dict(stamps) != read(store, prefix):
        store.keep(_name(prefix), json.dumps(dict(stamps)).encode())


def _name(prefix: str) -> str:
    return f"verified-{hashlib.sha256(prefix.encode('utf-8', 'surrogateescape')).hexdigest()}"
