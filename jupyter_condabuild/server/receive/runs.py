"""JupyterLab in containers of images: each is a process of the command `run`, and ends with the server."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.errors import NotThere, QueueFull
from jupyter_condabuild.requests.receive import RUNS_AT, RunRequest
from jupyter_condabuild.server.receive.child import Child

MOST = 5
"""The number of runs at the same time."""

MOST_ENDED = 20
"""The number of ended runs that are listed."""


@dataclass
class _Run:
    """A run. `address` is empty until JupyterLab answers; `fault` is the reason for an end that nobody asked for."""

    id: str
    request: RunRequest
    child: Child
    address: str = ""
    fault: dict[str, str] | None = None
    complete: int = 0
    total: int = 0
    ended: bool = False

    def view(self) -> dict[str, Any]:
        """Returns the object `Run` of openapi.yaml."""
        return {
            "id": self.id,
            "reference": str(self.request.reference),
            "digest": self.request.seen,
            "state": "ended" if self.ended else "running" if self.address else "starting",
            "address": "" if self.ended else self.address,
            "complete": self.complete,
            "total": self.total,
            "fault": self.fault,
        }

    def take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "log" if event["text"].startswith(RUNS_AT):
                self.address = event["text"].removeprefix(RUNS_AT)
            case "progress" if event["subject"] in ("pull", "load"):
                self.complete, self.total = int(event["complete"]), int(event["total"])
            case "failed":
                self.fault = {name: str(event[name]) for name in ("code", "message", "hint")}

    def end(self) -> None:
        self.ended = True


class Runs:
    """Starts, lists and ends runs."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def all(self) -> dict[str, Any]:
        """Returns the object `Runs` of openapi.yaml."""
        return {"runs": [run.view() for run in self._runs.values()]}

    async def start(self, request: RunRequest) -> dict[str, Any]:
        """Starts JupyterLab in a container of an image. Returns the object `Run`. Raises QueueFull."""
        if sum(not run.ended for run in self._runs.values()) >= MOST:
            raise QueueFull(f"{MOST} images run already.", "End one of them.")
        ended = [run.id for run in self._runs.values() if run.ended]
        for id in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._runs[id]
        child = await Child.start("run", {**request.to_json(), "no_browser": True})
        run = _Run(secrets.token_hex(8), request, child)
        self._runs[run.id] = run
        child.follow(run.take, run.end)
        return run.view()

    async def end(self, id: str) -> dict[str, Any]:
        """Ends a run, and waits until its container is removed. Returns the object `Run`. Raises NotThere."""
        run = self._runs.pop(id, None)
        if run is None:
            raise NotThere(f"There is no run {id[:100]!r}.")
        await self._end(run)
        return run.view()

    async def close(self) -> None:
        """Ends all runs."""
        await asyncio.gather(*map(self._end, self._runs.values()))

    async def _end(self, run: _Run) -> None:
        await run.child.end()
