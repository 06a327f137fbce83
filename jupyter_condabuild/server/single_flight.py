"""Runs equal work that several callers ask for at the same time once. It does not keep results or errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares work by key. A caller that stops waiting does not cancel the work."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """Returns the result of the running work of this key. If there is none, starts `work`."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(_awaited(work))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: str, done: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if not done.cancelled():
            done.exception()  # marks the error as seen: asyncio would log it if no caller waits any more

    async def close(self) -> None:
        """Cancels all running work."""
        for task in list(self._tasks.values()):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
