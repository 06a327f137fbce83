"""The job `prune`: removes the images and layers that were not used for the longest time from the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.events import Report
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.tree import unpacked
from jupyter_condabuild.requests.others import PruneRequest
from jupyter_condabuild.text import size_text


@dataclass(frozen=True)
class Pruned:
    """The result of the job: the bytes that were freed, the bytes that are left, and the folder of the store."""

    freed: int
    left: int
    folder: str = ""

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return {"freed": self.freed, "left": self.left}

    def text(self) -> str:
        """Returns the result in one sentence."""
        return f"Freed {size_text(self.freed)}; {size_text(self.left)} remain in {self.folder}."


def run(request: PruneRequest, report: Report) -> Pruned:
    """Prunes the store to the requested size. Raises StoreBusy if a build uses the store, and StoreError."""
    del report  # this job has no events
    with Store(request.store_dir) as store:
        freed = unpacked.remove_unused(store, request.keep_bytes)
        left = unpacked.size(store)
        freed += store.prune(max(0, request.keep_bytes - left))
        return Pruned(freed, store.size + left, str(request.store_dir))
