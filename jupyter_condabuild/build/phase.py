"""Phases: the steps of a build as its reader sees them, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from jupyter_condabuild.events import Phase, PhaseName, Report


@contextmanager
def phase(report: Report, name: PhaseName, since: float | None = None) -> Iterator[None]:
    """Reports the start of a phase, and its end unless it failed.

    `since` is when one began whose start was reported already, in seconds as `time.monotonic` has them.
    """
    started = time.monotonic() if since is None else since
    if since is None:
        report(Phase(name, "started"))
    yield
    report(Phase(name, "done", round(time.monotonic() - started, 3)))
