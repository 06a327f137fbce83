"""The job `prune`: removes the layers used longest ago from the local store; registries are not touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.events import Report
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.requests.others import PruneRequest
from jupyter_condabuild.text import size_text


@dataclass(frozen=True)
class Pruned:
    """Bytes that are free now, and bytes that are left in the store."""

    freed: int
    left: int
    folder: str = ""

    def summary(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {"freed": self.freed, "left": self.left}

    def text(self) -> str:
        """The result in one sentence."""
        return f"Freed {size_text(self.freed)}; {size_text(self.left)} remain in {self.folder}."


def run(request: PruneRequest, report: Report) -> Pruned:
    """Frees the bytes that the request does not keep. Raises StoreBusy while a build uses the store, and StoreError."""
    del report  # there is nothing to tell on the way
    with Store(request.store_dir) as store:
        return Pruned(store.prune(request.keep_bytes), store.size, str(request.store_dir))
