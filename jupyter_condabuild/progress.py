"""The progress of a whole job: its total is fixed when the plan is, and the part that is done never falls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from jupyter_condabuild.events import Event, Progress, Report

SUBJECT = "build"
"""The subject of the events of a whole job."""

_EVERY_SECONDS = 0.1


class JobProgress:
    """Reports the progress of a whole job, at most ten times a second, and always its start and its end. Thread-safe.

    The work of a job is a set of items, each with a size in bytes: the blobs that are made, sent, loaded or written.
    An item that turns out to be larger or smaller than planned, or to be needed no more, still counts as its planned
    size. So the total never changes.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._sizes: dict[str, int] = {}
        self._shares: dict[str, float] = {}
        self._done = 0.0
        self._told = -1
        self._last = 0.0
        self._lock = threading.Lock()

    def plan(self, items: Mapping[str, int]) -> None:
        """Fixes the items and their sizes in bytes. A second plan, after a failed attempt, is ignored."""
        with self._lock:
            if self._sizes or not any(items.values()):
                return
            self._sizes = dict(items)
            self._done = sum(size * self._shares.get(item, 0.0) for item, size in items.items())
            self._tell(int(self._done))

    def reached(self, item: str, complete: int, total: int) -> None:
        """Records that `complete` of `total` bytes of an item are done. A smaller part than before changes nothing."""
        share = min(1.0, complete / total) if total > 0 else 0.0
        with self._lock:
            before = self._shares.get(item, 0.0)
            if share <= before:
                return
            self._shares[item] = share
            if item not in self._sizes:  # the plan comes later, or the item is not planned
                return
            self._done += (share - before) * self._sizes[item]
            now = time.monotonic()
            if now - self._last >= _EVERY_SECONDS:
                self._last = now
                self._tell(int(self._done))

    def done(self, item: str) -> None:
        """Records that an item is done, or is not needed."""
        self.reached(item, 1, 1)

    def of(self, item: str) -> Callable[[int, int], None]:
        """Returns a function that records the progress of an item."""
        return lambda complete, total: self.reached(item, complete, total)

    def finish(self) -> None:
        """Records that the job is done."""
        with self._lock:
            if self._sizes:
                self._tell(self._total)

    @property
    def _total(self) -> int:
        return sum(self._sizes.values())

    def _tell(self, complete: int) -> None:
        complete = min(complete, self._total)
        if complete > self._told:
            self._told = complete
            self._report(Progress(SUBJECT, complete, self._total))


class PartsProgress:
    """The progress of a job that makes several images one after the other, as the progress of one job.

    Every image counts as much as the first one that has work, so that the total never changes.
    """

    def __init__(self, whole: JobProgress, report: Report, count: int) -> None:
        self._whole = whole
        self._report = report
        self._names = [f"image {number}" for number in range(count)]

    def of(self, number: int) -> tuple[Report, JobProgress]:
        """Returns the report and the progress for the job of one image."""
        name = self._names[number]

        def report(event: Event) -> None:
            if isinstance(event, Progress) and event.subject == SUBJECT:
                self._whole.plan(dict.fromkeys(self._names, event.total))
                self._whole.reached(name, event.complete, event.total)
            else:
                self._report(event)

        return report, JobProgress(report)


def sending(name: str) -> str:
    """Returns the item of a blob that is sent. `name` is the key of a layer, its title, or the digest of a blob."""
    return f"send {name}"


def making(name: str) -> str:
    """Returns the item of a layer that is made. `name` is its key or its title."""
    return f"make {name}"


LOADING, EXPORTING = "load", "export"
"""The items of an image that an engine loads, and of an archive."""
