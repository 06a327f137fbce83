"""Measures the rate of a progress and estimates the time left."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 5.0
"""The time over which the rate is measured."""

SHORTEST_SECONDS = 0.5
"""The shortest time from which a rate is computed."""


class Meter:
    """The progress of one subject. The rate covers only the last seconds, so that a stall is visible.

    All times are in seconds, from one monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self.complete = 0
        self.total = 0
        self.unit = "bytes"
        self._samples = deque([(now, 0)])

    def update(self, now: float, complete: int, total: int) -> None:
        """Records that `complete` of `total` units are done. A smaller `complete` than before means a restart."""
        if complete < self.complete:
            self._samples.clear()
        self.complete, self.total = complete, total
        if self._samples and now - self._samples[-1][0] < 0.05 and len(self._samples) > 1:
            self._samples.pop()
        self._samples.append((now, complete))
        self._forget(now)

    def rate(self, now: float) -> float:
        """Returns the rate in units per second, or 0 while the measured time is too short."""
        self._forget(now)
        since, before = self._samples[0]
        return (self.complete - before) / (now - since) if now - since >= SHORTEST_SECONDS else 0.0

    def left(self, now: float) -> float | None:
        """Returns the seconds left at the present rate; None if all is done or the rate is not known."""
        rate = self.rate(now)
        return (self.total - self.complete) / rate if rate > 0 and self.total > self.complete else None

    def _forget(self, now: float) -> None:
        # The last sample before the window is kept: it has the progress at the start of the window.
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW_SECONDS:
            self._samples.popleft()
