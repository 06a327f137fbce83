"""Conda environments that are made of images: each is a process of the command `recreate`, and ends with the server."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.errors import CondaBuildError, NotThere, QueueFull, UsageError
from jupyter_condabuild.receive.unfinished import remove_abandoned
from jupyter_condabuild.requests.receive import RecreateRequest
from jupyter_condabuild.server.receive.child import MEMORY, Child

MOST = 2
"""The number of environments that are made at the same time."""

MOST_ENDED = 20
"""The number of ended ones that are listed."""


@dataclass
class _Recreation:
    """An environment that is made. `result` is the summary of the command; None before a good end."""

    id: str
    request: RecreateRequest
    child: Child
    step: str = ""
    complete: int = 0
    total: int = 0
    result: dict[str, Any] | None = None
    fault: dict[str, str] | None = None
    is_cancelled: bool = False
    is_ended: bool = False

    def view(self) -> dict[str, Any]:
        """Returns the object `Recreation` of openapi.yaml."""
        found = self.result or {}
        return {
            "id": self.id,
            "reference": str(self.request.reference),
            "digest": self.request.seen,
            "prefix": str(self.request.target),
            "state": self._state(),
            "step": self.step,
            "complete": self.complete,
            "total": self.total,
            "activate": found.get("activate", ""),
            "add_kernel": found.get("add_kernel", ""),
            "fault": self.fault,
        }

    def _state(self) -> str:
        if not self.is_ended:
            return "running"
        return "finished" if self.result else "failed" if self.fault else "cancelled"

    def take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case None:
                self.result = {name: str(event[name]) for name in ("activate", "add_kernel")}
            case "progress":
                self.step = str(event["subject"])
                self.complete, self.total = int(event["complete"]), int(event["total"])
            case "failed":
                self.fault = {name: str(event[name]) for name in ("code", "message", "hint")}
            case "cancelled":
                self.is_cancelled = True

    def end(self) -> None:
        if not self.result:
            assert self.request.target
            remove_abandoned(self.request.target)  # of a process that was killed
        if not (self.result or self.fault or self.is_cancelled):
            hint = "If memory or the disk was full, make room. Then try again."
            message = "The environment was not made: its process was killed."
            self.fault = {"code": CondaBuildError.code, "message": message, "hint": hint}
        self.is_ended = True


class Recreations:
    """Starts, lists and cancels them."""

    def __init__(self) -> None:
        self._known: dict[str, _Recreation] = {}

    def all(self) -> dict[str, Any]:
        """Returns the object `Recreations` of openapi.yaml."""
        return {"recreations": [one.view() for one in self._known.values()]}

    async def start(self, request: RecreateRequest) -> dict[str, Any]:
        """Starts to make an environment. Returns the object `Recreation`. Raises QueueFull, UsageError."""
        running = [one for one in self._known.values() if not one.is_ended]
        if len(running) >= MOST:
            raise QueueFull(f"{MOST} environments are being made already.", "Wait for one of them, or cancel it.")
        if any(one.request.target == request.target for one in running):
            raise UsageError(f"An environment in {request.target} is being made.", "Name another folder.")
        ended = [one.id for one in self._known.values() if one.is_ended]
        for id in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._known[id]
        child = await Child.start("recreate", request.to_json(), MEMORY)
        made = _Recreation(secrets.token_hex(8), request, child)
        self._known[made.id] = made
        child.follow(made.take, made.end)
        return made.view()

    async def end(self, id: str) -> dict[str, Any]:
        """Cancels one, or removes an ended one from the list. Returns the object `Recreation`. Raises NotThere."""
        found = self._known.pop(id, None)
        if found is None:
            raise NotThere(f"No environment with the id {id[:100]!r} is being made.")
        await self._end(found)
        return found.view()

    async def close(self) -> None:
        """Cancels all."""
        await asyncio.gather(*map(self._end, self._known.values()))

    async def _end(self, found: _Recreation) -> None:
        if found.is_ended:
            return
        found.is_cancelled = True
        await found.child.end()
