"""A beat that any number of coroutines can wait for, and that none of them misses."""

from __future__ import annotations

import asyncio


class Notifier:
    """Counts its beats in `version`: who looked at version N waits until it is another one."""

    def __init__(self) -> None:
        self.version = 0
        self._next: asyncio.Future[None] | None = None

    def notify(self) -> None:
        """Wakes all who wait."""
        self.version += 1
        if self._next and not self._next.done():
            self._next.set_result(None)
        self._next = None

    async def wait(self, version: int, seconds: float, closed: asyncio.Future[None]) -> bool:
        """Until there was a beat since `version`, or `closed` is done (True), or the time has passed (False)."""
        if self.version != version or closed.done():
            return True
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((self._next, closed), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
