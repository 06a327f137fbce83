"""Everything that handlers call: from what a client asks for to what is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_condabuild import __version__
from jupyter_condabuild.build.request import BuildRequest
from jupyter_condabuild.server import places
from jupyter_condabuild.server.builds import Builds
from jupyter_condabuild.server.history import Record
from jupyter_condabuild.server.lockfiles import Lockfiles
from jupyter_condabuild.server.probes import Probes
from jupyter_condabuild.server.snapshots import Snapshots
from jupyter_condabuild.server.sources import Sources
from jupyter_condabuild.settings import Settings

_GIVEN: tuple[str, ...] = (
    "reference",
    "push",
    "load",
    "engine",
    "base",
    "installer",
    "installer_image",
    "pull",
    "cache_from",
)
_GIVEN += ("strict", "variables")
_SHOWN_SETTINGS = ("registry", "engine", "base_image", "cache_from", "max_concurrent_builds")


class Workshop:
    """The parts of the extension that have a state, made and closed together."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        kernels: Any,
        kernelspecs: Any,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        """`root` is the server's root folder, `kernels` and `kernelspecs` are its managers."""
        self._settings = settings
        self._root = root
        state = Path(settings.state_dir)
        self.sources = Sources(kernels, kernelspecs, settings.allow_prefixes)
        self.lockfiles = Lockfiles(state / "lockfiles")
        self.builds = Builds(settings, state, log)
        self._snapshots = Snapshots(self.lockfiles)
        self._probes = Probes(settings)

    async def close(self) -> None:
        """Ends snapshots and probes; builds go on."""
        await self._snapshots.close()
        await self._probes.close()
        await self.builds.close()

    async def status(self) -> dict[str, Any]:
        """openapi.yaml's Status."""
        settings = {name: getattr(self._settings, name) for name in _SHOWN_SETTINGS}
        return {"version": __version__, "settings": settings, "probes": await self._probes.all()}

    async def snapshot(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Snapshot of a SnapshotRequest."""
        prefix = await self.sources.prefix(asked)
        reference = asked.get("reference", "")
        request = self._settings.request(
            prefix=str(prefix),
            reference=reference,
            cache_from=asked.get("cache_from"),
            push=bool(reference),
            archive="" if reference else "none.tar",  # a plan goes nowhere
        )
        return await self._snapshots.take(request)

    async def build(self, asked: Mapping[str, Any]) -> tuple[Record, bool]:
        """The build that a BuildRequest of openapi.yaml starts or joins, and whether it is new."""
        prefix = None if "lockfile" in asked else await self.sources.prefix(asked)
        request = await asyncio.to_thread(self._request, asked, prefix)
        kept = ("kernel_id", "kernel_name", "lockfile", "archive", "include")
        about = {name: asked[name] for name in kept if name in asked}
        return await self.builds.start(request, about, asked.get("again", False))

    def _request(self, asked: Mapping[str, Any], prefix: Path | None) -> BuildRequest:
        include, archive = asked.get("include", ""), asked.get("archive", "")
        return self._settings.request(
            prefix=str(prefix) if prefix else "",
            lockfile="" if prefix else str(self.lockfiles.path(asked["lockfile"])),
            archive=archive and places.archive(self._root, archive),
            include=include and str(places.below(self._root, include, "include")),
            **{name: asked[name] for name in _GIVEN if name in asked},
        )
