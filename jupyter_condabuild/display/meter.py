"""How fast something goes, and when it will be done."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 5.0
SHORTEST_SECONDS = 0.5


class Meter:
    """Progress of one subject: the rate is that of the last seconds, so that a stall shows."""

    def __init__(self, now: float) -> None:
        self.complete = 0
        self.total = 0
        self.unit = "bytes"
        self._samples = deque([(now, 0)])

    def update(self, now: float, complete: int, total: int) -> None:
        """So much of so much is done; less than before means that it was begun anew."""
        if complete < self.complete:
            self._samples.clear()
        self.complete, self.total = complete, total
        if self._samples and now - self._samples[-1][0] < 0.05 and len(self._samples) > 1:
            self._samples.pop()
        self._samples.append((now, complete))
        self._forget(now)

    def rate(self, now: float) -> float:
        """Units a second; 0 while that cannot be said."""
        self._forget(now)
        since, before = self._samples[0]
        return (self.complete - before) / (now - since) if now - since >= SHORTEST_SECONDS else 0.0

    def left(self, now: float) -> float | None:
        """Seconds until it is done at this rate; None when it is, or while that cannot be said."""
        rate = self.rate(now)
        return (self.total - self.complete) / rate if rate > 0 and self.total > self.complete else None

    def _forget(self, now: float) -> None:
        # The one before the window's start is kept: it says where the window began.
        while len(self._samples) > 1 and self._samples[1][0] <= now - WINDOW_SECONDS:
            self._samples.popleft()
