"""The stamps of packages whose files matched their records in the last build of an environment, in the local store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from jupyter_condabuild.oci.layout import Store


def read(store: Store, prefix: Path) -> dict[str, str]:
    """Returns the stamps of the packages that the last build of an environment verified, by dist."""
    try:
        value = json.loads(store.memory(_name(prefix)))
    except ValueError:
        return {}
    return {str(dist): str(stamp) for dist, stamp in value.items()} if isinstance(value, dict) else {}


def keep(store: Store, prefix: Path, stamps: Mapping[str, str]) -> None:
    """Writes the stamps of verified packages for the next build, if they differ from the stored ones."""
    if dict(stamps) != read(store, prefix):
        store.keep(_name(prefix), json.dumps(dict(stamps)).encode())


def _name(prefix: Path) -> str:
    return f"verified-{hashlib.sha256(os.fsencode(prefix)).hexdigest()}"
