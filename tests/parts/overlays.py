"""The overlays of small prefixes, as the layers engine collects them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.layers.overlay import Overlay, collect
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.own_files.selection import own_files
from tests.parts.jobs import plan_request, silent
from tests.parts.small_prefix import SmallPrefix

PYTHON = Path(sys.executable)


class Collected:
    """Returns the entries of an overlay by their path below /opt/env."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.entries = {entry.path.removeprefix("opt/env/"): entry for entry in overlay.entries}

    def __getitem__(self, path: str) -> Entry:
        return self.entries[path]

    def bytes(self, path: str) -> bytes:
        """Returns the content of a file in the layer."""
        entry = self.entries[path]
        data = Path(entry.source).read_bytes() if entry.source else entry.data
        return data[entry.offset :][: entry.size]

    def text(self, path: str) -> str:
        return self.bytes(path).decode("utf-8", "surrogateescape")

    @property
    def files(self) -> set[str]:
        """The paths without bytecode."""
        return {path for path in self.entries if not path.endswith(".pyc")}


@pytest.fixture
def collected(tmp_path: Path) -> Callable[..., Collected]:
    """Collects the overlay of a prefix."""
    number = iter(range(100))

    def collect_of(
        prefix: SmallPrefix,
        *taken: str,
        limit: int = 1 << 20,
        python: Path | None = PYTHON,
        work: Path | None = None,
        all_clobbered: bool = False,
    ) -> Collected:
        environment = snapshot(prefix.path)
        changes = drift(environment)
        with Store((work.parent if work else tmp_path) / "store") as store:
            own = own_files(plan_request(prefix=prefix.path), environment, changes, store, silent)
        records = [record for record in environment.records if record.name in taken]
        folder = work or tmp_path / f"work-{next(number)}"
        return Collected(
            collect(
                environment, changes, records, own, python=python, work=folder, limit=limit, all_clobbered=all_clobbered
            )
        )

    return collect_of
