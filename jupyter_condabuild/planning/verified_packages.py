"""The packages of an environment whose files an earlier build compared with their records, kept in the local store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from jupyter_condabuild.oci.layout import Store


def read(store: Store, prefix: Path) -> dict[str, str]:
    """The stamps of an environment's packages that the last build found to be as recorded, by dist."""
    try:
        value = json.loads(store.memory(_name(prefix)))
    except ValueError:
        return {}
    return {str(dist): str(text) for dist, text in value.items()} if isinstance(value, dict) else {}


def keep(store: Store, prefix: Path, stamps: Mapping[str, str]) -> None:
    """Keeps them for the next build, if they are others."""
    if dict(stamps) != read(store, prefix):
        store.keep(_name(prefix), json.dumps(dict(stamps)).encode())


def _name(prefix: Path) -> str:
    return f"verified-{hashlib.sha256(os.fsencode(prefix)).hexdigest()}"
