"""Room in the local store: the layers used longest ago go, registries are not touched."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.requests.others import PruneRequest


@dataclass(frozen=True)
class Pruned:
    """Bytes that are free now, and bytes that are left in the store."""

    freed: int
    left: int

    def summary(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return asdict(self)


def prune(request: PruneRequest) -> Pruned:
    """Frees what the request does not keep. Raises StoreBusy while a build uses the store, and StoreError."""
    with Store(Path(request.store_dir)) as store:
        return Pruned(store.prune(request.keep_bytes), store.size)
