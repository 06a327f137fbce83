"""Everything that handlers call: from what a client asks for to what is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jupyter_condabuild import __version__
from jupyter_condabuild.requests.build import PlanRequest, SourceRequest
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.requests.others import JOBS, DiffRequest, ExportRequest, PruneRequest
from jupyter_condabuild.server import path_checks
from jupyter_condabuild.server.builds import Builds
from jupyter_condabuild.server.command_runner import CommandRunner
from jupyter_condabuild.server.history import Record
from jupyter_condabuild.server.kernels import Kernels
from jupyter_condabuild.server.lockfiles import Lockfiles
from jupyter_condabuild.server.probes import Probes
from jupyter_condabuild.settings import Settings

_ABOUT = ("kernel_id", "kernel_name", "lockfile", "archive", "include")
"""What the history keeps of a client's words, beside the request that is made of them."""

R = TypeVar("R", bound=Request)

_SHOWN_SETTINGS = ("registry", "engine", "base_image", "cache_from", "max_concurrent_builds")


class Service:
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
        self.kernels = Kernels(kernels, kernelspecs, settings.allow_prefixes)
        self.lockfiles = Lockfiles(state / "lockfiles")
        self.builds = Builds(settings, state, log)
        self._runner = CommandRunner()
        self._probes = Probes(settings)

    async def close(self) -> None:
        """Ends answers and probes under way; builds go on."""
        await self._runner.close()
        await self._probes.close()
        await self.builds.close()

    async def status(self) -> dict[str, Any]:
        """openapi.yaml's Status."""
        settings = {name: getattr(self._settings, name) for name in _SHOWN_SETTINGS}
        return {"version": __version__, "settings": settings, "probes": await self._probes.all()}

    async def snapshot(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Snapshot of a SnapshotRequest."""
        found = await self._runner.ask("snapshot", await self._request(PlanRequest, asked))
        await asyncio.to_thread(self.lockfiles.keep, found["digest"], found["lock"])
        return {name: value for name, value in found.items() if name != "lock"}

    async def diff(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Difference of a DiffRequest."""
        before, after = await self._side(asked["before"]), await self._side(asked["after"])
        return await self._runner.ask("diff", DiffRequest.of(self._settings, before=before, after=after))

    async def export(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Export of an ExportRequest."""
        return await self._runner.ask("export", await self._request(ExportRequest, asked))

    async def prune(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """openapi.yaml's Pruned of a PruneRequest."""
        return await self._runner.ask("prune", await self._request(PruneRequest, asked))

    async def start(self, command: str, asked: Mapping[str, Any]) -> tuple[Record, bool]:
        """The build that a BuildRequest of openapi.yaml starts or joins, and whether it is new."""
        request = await self._request(JOBS[command], asked)
        names = (*_ABOUT, "reference") if command == "verify" else _ABOUT
        about = {name: asked[name] for name in names if name in asked}
        return await self.builds.start(command, request, about)

    async def _request(self, kind: type[R], asked: Mapping[str, Any]) -> R:
        """The request that a client's words stand for: with real paths, and the settings filled in."""
        values = {name: asked[name] for name, (_, option) in kind.options().items() if option.client and name in asked}
        if issubclass(kind, SourceRequest):
            values["prefix"], values["lockfile"] = await self._source(asked)

        def make() -> R:
            for name, check in _PATHS.items():
                if kind.options().get(name) and kind.options()[name][1].below_root and values.get(name):
                    values[name] = check(self._root, values[name], self._settings)
            return kind.of(self._settings, **values)

        return await asyncio.to_thread(make)

    async def _source(self, asked: Mapping[str, Any]) -> tuple[str, str]:
        """The folder of the environment that a request names, or else the lock file; one of them is empty."""
        if "lockfile" in asked:
            return "", str(await asyncio.to_thread(self.lockfiles.path, asked["lockfile"]))
        return str(await self.kernels.prefix(asked)), ""

    async def _side(self, asked: Mapping[str, Any]) -> str:
        if "reference" in asked:
            return await self._image(asked["reference"])
        return "".join(await self._source(asked))

    async def _image(self, text: str) -> str:
        return await asyncio.to_thread(_image, self._root, text, self._settings)


def _archive(root: Path, text: str, settings: Settings) -> str:
    del settings
    return path_checks.archive(root, text)


def _include(root: Path, text: str, settings: Settings) -> str:
    del settings
    return str(path_checks.below(root, text, "include"))


def _image(root: Path, text: str, settings: Settings) -> str:
    return path_checks.image(root, text, settings.named(text))


_PATHS: Mapping[str, Callable[[Path, str, Settings], str]] = {
    "archive": _archive,
    "include": _include,
    "reference": _image,
}
"""How an option that is a path below the server's root folder becomes a path of this machine."""
