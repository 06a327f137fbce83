"""Phases: the steps of a build as its reader sees them, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from jupyter_condabuild.events import Phase, PhaseName, Report


@contextmanager
def phase(report: Report, name: PhaseName) -> Iterator[None]:
    """Reports the start of a phase, and its end unless it failed."""
    started = time.monotonic()
    report(Phase(name, "started"))
    yield
    report(Phase(name, "done", round(time.monotonic() - started, 3)))
