"""Everything that handlers call: from what a client asks for to what is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild import __version__
from jupyter_condabuild.requests.build import BuildRequest, Request
from jupyter_condabuild.requests.others import (
    BaseRequest,
    DiffRequest,
    ExportRequest,
    PruneRequest,
    RebaseRequest,
    VerifyRequest,
)
from jupyter_condabuild.server import path_checks
from jupyter_condabuild.server.builds import Builds
from jupyter_condabuild.server.command_runner import Answers
from jupyter_condabuild.server.history import Record
from jupyter_condabuild.server.kernels import Sources
from jupyter_condabuild.server.lockfiles import Lockfiles
from jupyter_condabuild.server.probes import Probes
from jupyter_condabuild.settings import Settings

_RECIPE = ("reference", "engine", "base", "installer", "installer_image")
_BUILD = (*_RECIPE, "push", "load", "pull", "cache_from", "strict", "variables", "stack", "bytecode", "again")
_ABOUT = ("kernel_id", "kernel_name", "lockfile", "archive", "include")
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
        self._answers = Answers()
        self._probes = Probes(settings)

    async def close(self) -> None:
        """Ends answers and probes under way; builds go on."""
        await self._answers.close()
        await self._probes.close()
        await self.builds.close()

    async def status(self) -> dict[str, Any]:
        """openapi.yaml's Status."""
        settings = {name: getattr(self._settings, name) for name in _SHOWN_SETTINGS}
        return {"version": __version__, "settings": settings, "probes": await self._probes.all()}

    async def snapshot(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Snapshot of a SnapshotRequest."""
        prefix, _ = await self._source(asked)
        request = self._settings.request(
            prefix=prefix,
            push=bool(asked.get("reference")),
            archive="" if asked.get("reference") else "none.tar",  # a plan goes nowhere
            **_of(asked, (*_RECIPE, "cache_from", "bytecode")),
        )
        found = await self._answers.ask("snapshot", request)
        await asyncio.to_thread(self.lockfiles.keep, found["digest"], found["lock"])
        return {name: value for name, value in found.items() if name != "lock"}

    async def diff(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Difference of a DiffRequest."""
        before, after = await self._side(asked["before"]), await self._side(asked["after"])
        return await self._answers.ask("diff", self._settings.fill(DiffRequest, before=before, after=after))

    async def export(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Export of an ExportRequest."""
        prefix, lockfile = await self._source(asked)
        request = self._settings.fill(ExportRequest, prefix=prefix, lockfile=lockfile, **_of(asked, (*_RECIPE, "kind")))
        return await self._answers.ask("export", request)

    async def prune(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Pruned of a PruneRequest."""
        keep = asked.get("keep_bytes", self._settings.store_max_bytes)
        return await self._answers.ask("prune", self._settings.fill(PruneRequest, keep_bytes=keep))

    async def start(self, command: str, asked: Mapping[str, Any]) -> tuple[Record, bool]:
        """The build that a BuildRequest of openapi.yaml starts or joins, and whether it is new."""
        if command == "rebase":
            target = self._settings.named(asked.get("target", ""))
            request: Request = self._settings.fill(RebaseRequest, target=target, **_of(asked, ("reference", "base")))
        elif command == "verify":
            request = self._settings.fill(VerifyRequest, image=await self._image(asked["reference"]))
        else:
            prefix, lockfile = await self._source(asked)
            request = await asyncio.to_thread(self._request, command, asked, prefix, lockfile)
        about = _of(asked, (*_ABOUT, "reference") if command == "verify" else _ABOUT)
        return await self.builds.start(command, request, about)

    def _request(self, command: str, asked: Mapping[str, Any], prefix: str, lockfile: str) -> BuildRequest:
        if command == "base":
            more = {"keep": asked["keep"]} if "keep" in asked else {}
            without = tuple(asked.get("without", ()))
            return self._settings.fill(
                BaseRequest, prefix=prefix, lockfile=lockfile, push=True, without=without, **more, **_of(asked, _RECIPE)
            )
        include, archive = asked.get("include", ""), asked.get("archive", "")
        return self._settings.request(
            prefix=prefix,
            lockfile=lockfile,
            archive=archive and path_checks.archive(self._root, archive),
            include=include and str(path_checks.below(self._root, include, "include")),
            **_of(asked, _BUILD),
        )

    async def _source(self, asked: Mapping[str, Any]) -> tuple[str, str]:
        """The folder of the environment that a request names, or else the lock file; one of them is empty."""
        if "lockfile" in asked:
            return "", str(await asyncio.to_thread(self.lockfiles.path, asked["lockfile"]))
        return str(await self.sources.prefix(asked)), ""

    async def _side(self, asked: Mapping[str, Any]) -> str:
        if "reference" in asked:
            return await self._image(asked["reference"])
        return "".join(await self._source(asked))

    async def _image(self, text: str) -> str:
        return await asyncio.to_thread(path_checks.image, self._root, text, self._settings.named(text))


def _of(asked: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: asked[name] for name in names if name in asked}
