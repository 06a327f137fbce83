"""Checks of images after their builds: each is a process of the command `check`, and ends with the server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_condabuild.errors import CondaBuildError, NotThere, QueueFull
from jupyter_condabuild.events import Finished
from jupyter_condabuild.oci.image import Digest, Reference
from jupyter_condabuild.requests.receive import IMPORTING, CheckRequest
from jupyter_condabuild.server.history import Record
from jupyter_condabuild.server.receive.child import MEMORY, Child
from jupyter_condabuild.settings import Settings

MOST = 5
"""The number of checks at the same time."""

MOST_ENDED = 100
"""The number of results that are kept."""

MOST_MISSING = 200 << 20
"""The bytes that the engine may download or load for a check that nobody has confirmed."""


@dataclass
class _Check:
    """A check. `result` is the summary of the command; None before a good end."""

    build: str
    notebook: Path | None
    child: Child
    started: float
    step: str = ""
    complete: int = 0
    total: int = 0
    result: dict[str, Any] = field(default_factory=dict)
    fault: dict[str, str] | None = None
    is_cancelled: bool = False
    is_ended: bool = False

    def view(self) -> dict[str, Any]:
        """Returns the object `Check` of openapi.yaml."""
        return {
            "build": self.build,
            "notebook": self.notebook.name if self.notebook and not self.result.get("from_packages") else "",
            "state": self.state,
            "started": self.started,
            "step": self.step,
            "complete": self.complete,
            "total": self.total,
            "missing": self.result.get("missing", 0),
            "imported": self.result.get("imported", []),
            "failed": self.result.get("failed", []),
            "fault": self.fault,
        }

    @property
    def state(self) -> str:
        """The state, as in openapi.yaml."""
        if not self.is_ended:
            return "running"
        if not self.result:
            return "failed" if self.fault else "cancelled"
        return "too_large" if self.result["missing"] else "finished"

    def take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case None:
                self.result = {name: event[name] for name in ("imported", "failed", "missing", "from_packages")}
            case "progress" if event["subject"] in ("pull", "load"):
                self.step = str(event["subject"])
                self.complete, self.total = int(event["complete"]), int(event["total"])
            case "log" if event["text"] == IMPORTING:
                self.step = "import"
            case "failed":
                self.fault = {name: str(event[name]) for name in ("code", "message", "hint")}
            case "cancelled":
                self.is_cancelled = True

    def end(self) -> None:
        if not (self.result or self.fault or self.is_cancelled):
            message = "The image was not checked: the process of the check was killed."
            self.fault = {"code": CondaBuildError.code, "message": message, "hint": "Check the image again."}
        self.is_ended = True


class Checks:
    """Starts, lists and cancels checks. A build has one check at most, the last one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, _Check] = {}

    def all(self) -> dict[str, Any]:
        """Returns the object `Checks` of openapi.yaml."""
        return {"checks": [check.view() for check in self._known.values()]}

    async def start(self, build: Record, notebook: Path | None, *, download: bool) -> tuple[dict[str, Any], bool]:
        """Starts to check the image of a build. Returns the object `Check`, and whether the check is new.

        A check that runs, or whose modules were imported, is not started again.

        Args:
            notebook: the notebook whose imports are tried; None for the modules of the requested packages.
            download: whether the engine may download or load more than `MOST_MISSING` bytes.

        Raises NotThere if the build has no image, QueueFull, UsageError.
        """
        before = self._known.get(build.id)
        if before and (before.state == "running" or (before.state == "finished" and before.notebook == notebook)):
            return before.view(), False
        if sum(not check.is_ended for check in self._known.values()) >= MOST:
            raise QueueFull(f"{MOST} images are being checked already.", "Wait for one of the checks, or cancel it.")
        request = CheckRequest.of(
            self._settings,
            reference=_image_of(build),
            notebook=[str(notebook)] if notebook else [],
            allowed_registries=list(self._settings.allowed_registries),
            most_missing=-1 if download else MOST_MISSING,
            yes=True,  # this user has built the image
        )
        self._known.pop(build.id, None)
        ended = [id for id, check in self._known.items() if check.is_ended]
        for id in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._known[id]
        check = _Check(build.id, notebook, await Child.start("check", request.to_json(), MEMORY), time.time())
        self._known[build.id] = check
        check.child.follow(check.take, check.end)
        return check.view(), True

    async def end(self, build: str) -> dict[str, Any]:
        """Cancels the check of a build, or removes its result. Returns the object `Check`. Raises NotThere."""
        check = self._known.pop(build, None)
        if check is None:
            raise NotThere(f"The image of the build {build[:100]!r} is not being checked.")
        await self._end(check)
        return check.view()

    async def close(self) -> None:
        """Cancels all."""
        await asyncio.gather(*map(self._end, self._known.values()))

    async def _end(self, check: _Check) -> None:
        if check.is_ended:
            return
        check.is_cancelled = True
        await check.child.end()


def _image_of(build: Record) -> str:
    """Returns where the image of a build is. An image in a registry is named by its digest. Raises NotThere."""
    result, asked = build.ending or {}, build.request
    if build.command == "verify" or result.get("type") != Finished.type:
        raise NotThere(f"The build {build.id[:100]!r} has no image.", "Name a build that has finished.")
    if build.command == "build" and not asked["push"]:
        return f"docker-daemon:{result['reference']}" if asked["load"] else str(asked["archive"])
    name = Reference.parse(result["reference"])
    return str(Reference(name.registry, name.repository, digest=Digest.parse(result["digest"])))
