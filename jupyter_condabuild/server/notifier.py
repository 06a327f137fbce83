"""Notifies any number of waiting coroutines of changes. A coroutine that waits late misses no change."""

from __future__ import annotations

import asyncio


class Notifier:
    """Counts changes in `version`. A coroutine that has seen version N waits until the version is not N."""

    def __init__(self) -> None:
        self.version = 0
        self._next: asyncio.Future[None] | None = None

    def notify(self) -> None:
        """Increases the version and wakes all coroutines that wait."""
        self.version += 1
        if self._next and not self._next.done():
            self._next.set_result(None)
        self._next = None

    async def wait(self, version: int, seconds: float, closed: asyncio.Future[None]) -> bool:
        """Waits until the version is not `version`, or `closed` is done, or the time is over.

        Returns False if the time was over first.
        """
        if self.version != version or closed.done():
            return True
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((self._next, closed), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
