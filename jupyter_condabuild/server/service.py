"""The calls of the handlers: makes requests from the bodies of REST requests, and starts commands and builds."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jupyter_condabuild import __version__
from jupyter_condabuild.conda.prefix.fingerprint import installation_stamp
from jupyter_condabuild.errors import FilesExist, NotThere
from jupyter_condabuild.events import Finished
from jupyter_condabuild.jobs import exported_files
from jupyter_condabuild.oci.image import Digest, Reference
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.requests.others import JOBS, DiffRequest, ExportRequest, LicensesRequest, PruneRequest
from jupyter_condabuild.requests.receive import InspectRequest, KernelInstallRequest, RecreateRequest, RunRequest
from jupyter_condabuild.requests.source import SourceRequest
from jupyter_condabuild.server import path_checks
from jupyter_condabuild.server.builds import Builds
from jupyter_condabuild.server.command_runner import CommandRunner
from jupyter_condabuild.server.history import Record
from jupyter_condabuild.server.kernels import Kernels
from jupyter_condabuild.server.lockfiles import FILE_NAMES, Lockfiles
from jupyter_condabuild.server.logins import Logins
from jupyter_condabuild.server.probes import Probes
from jupyter_condabuild.server.receive.checks import Checks
from jupyter_condabuild.server.receive.kernels import ImageKernels
from jupyter_condabuild.server.receive.recreations import Recreations
from jupyter_condabuild.server.receive.runs import Runs
from jupyter_condabuild.settings import Settings
from jupyter_condabuild.text import listed

_KEPT_MEMBERS = ("kernel_id", "kernel_name", "lockfile", "archive", "include", "base")
"""The members of a body that the history keeps as the client wrote them (`history.Record.client_members`)."""

R = TypeVar("R", bound=Request)

_SHOWN_SETTINGS = ("registry", "engine", "base_image", "platforms", "cache_from", "apt", "max_concurrent_builds")


class Service:
    """Makes and closes the parts of the extension that have a state.

    Args:
        root: the server's root folder.
        kernels: the server's kernel manager.
        kernelspecs: the server's kernelspec manager.
        on_activity: called again and again while a build waits or runs.
    """

    def __init__(
        self,
        settings: Settings,
        root: Path,
        kernels: Any,
        kernelspecs: Any,
        log: logging.Logger | logging.LoggerAdapter[Any],
        on_activity: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._root = root
        state = Path(settings.state_dir)
        self.kernels = Kernels(kernels, kernelspecs, settings.allow_prefixes)
        self.lockfiles = Lockfiles(state / "lockfiles")
        self.builds = Builds(settings, state, log, on_activity)
        self._runner = CommandRunner()
        self._probes = Probes(settings, root=root)
        self.logins = Logins(settings)
        self.image_kernels = ImageKernels(settings, self._runner)
        self.runs = Runs()
        self.recreations = Recreations()
        self.checks = Checks(settings)

    async def close(self) -> None:
        """Ends the commands and probes that run. The builds continue."""
        await self.runs.close()
        await self.recreations.close()
        await self.checks.close()
        await self.image_kernels.close()
        await self._runner.close()
        await self._probes.close()
        await self.builds.close()

    async def status(self, *, probes: bool = True) -> dict[str, Any]:
        """Returns the object `Status` of openapi.yaml. Without probes, the answer comes at once."""
        settings = {name: getattr(self._settings, name) for name in _SHOWN_SETTINGS}
        found = await self._probes.all() if probes else []
        return {"version": __version__, "settings": settings, "probes": found}

    async def snapshot(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Snapshot` of openapi.yaml for a `SnapshotRequest`. Keeps the lock file."""
        result = await self._runner.run("snapshot", await self._request(PlanRequest, body))
        await asyncio.to_thread(self.lockfiles.keep, result["digest"], result["lock"])
        return {name: value for name, value in result.items() if name != "lock"}

    async def stamp(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Stamp` of openapi.yaml for an `EnvironmentRequest`."""
        prefix = await self.kernels.prefix(body)
        return {"prefix": str(prefix), "stamp": await asyncio.to_thread(installation_stamp, prefix)}

    async def diff(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Difference` of openapi.yaml for a `DiffRequest`."""
        before, after = await self._side(body["before"]), await self._side(body["after"])
        allowed = list(self._settings.allowed_registries)
        request = DiffRequest.of(self._settings, before=before, after=after, allowed_registries=allowed)
        return await self._runner.run("diff", request)

    async def licenses(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Licenses` of openapi.yaml for a `Side`."""
        source, allowed = await self._side(body), list(self._settings.allowed_registries)
        request = LicensesRequest.of(self._settings, source=source, allowed_registries=allowed)
        return await self._runner.run("licenses", request)

    async def inspect(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Inspection` of openapi.yaml for an `InspectionRequest`."""
        return await self._runner.run("inspect", await self._request(InspectRequest, body))

    async def install_kernels(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns the object `ImageKernels` of openapi.yaml for a `KernelInstallation`; None while it still runs."""
        return await self.image_kernels.install(await self._request(KernelInstallRequest, body))

    async def run(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Run` of openapi.yaml for a `RunRequest`: JupyterLab starts."""
        request = await self._request(RunRequest, {**body, "folder": body.get("folder") or "."})
        return await self.runs.start(request)

    async def recreate(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Recreation` of openapi.yaml for a `RecreationRequest`: the environment is being made."""
        request = await self._request(RecreateRequest, body)
        assert request.target
        allowed = self._settings.allow_prefixes
        await asyncio.to_thread(path_checks.new_environment, request.target, self._root, allowed)
        return await self.recreations.start(request)

    async def check(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Returns the object `Check` of openapi.yaml for a `CheckRequest`, and whether the check is new."""
        record = await self.builds.record(body["build"])
        notebook = body["notebook"] and path_checks.below(self._root, body["notebook"], "notebook")
        return await self.checks.start(record, notebook or None, download=body["download"])

    async def export(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Export` of openapi.yaml for an `ExportRequest`. With `folder`, writes the files."""
        made = await self._runner.run("export", await self._request(ExportRequest, body))
        if "folder" not in body:
            return {**made, "written": []}
        texts = {file["path"]: file["text"] for file in made["files"]}
        executable = {file["path"] for file in made["files"] if file["executable"]}
        written = await self._write(body["folder"], texts, executable, replace=body.get("replace", False))
        return {**made, "written": written}

    async def write_lockfile(self, digest: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the lock file of a `LockfileWriting` of openapi.yaml. Returns the object `Written`."""
        text = await asyncio.to_thread(self.lockfiles.text, digest, body["format"])
        name = FILE_NAMES[body["format"]]
        return {"written": await self._write(body["folder"], {name: text}, set(), replace=body["replace"])}

    async def _write(self, folder: str, texts: Mapping[str, str], executable: set[str], *, replace: bool) -> list[str]:
        """Writes files into a folder below the root folder. Returns their paths, relative to the root folder.

        Raises FilesExist, BadRequest and StoreError.
        """

        def work() -> list[str]:
            paths = {str(Path(folder, name)): text for name, text in texts.items()}
            real = {path: path_checks.below(self._root, path, "folder") for path in paths}
            if (changed := exported_files.replaced(self._root, paths)) and not replace:
                raise FilesExist(f"Files with another content would be replaced: {listed(changed)}.")
            top = Path(os.path.realpath(self._root))
            files = {str(real[path].relative_to(top)): text for path, text in paths.items()}
            programs = {str(real[str(Path(folder, name))].relative_to(top)) for name in executable}
            exported_files.write_files(top, files, programs)
            return list(paths)

        return await asyncio.to_thread(work)

    async def prune(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the object `Pruned` of openapi.yaml for a `PruneRequest`."""
        return await self._runner.run("prune", await self._request(PruneRequest, body))

    async def start(self, command: str, body: Mapping[str, Any]) -> tuple[Record, bool]:
        """Starts or joins the build of a `BuildRequest` of openapi.yaml. Returns it, and whether it is new."""
        request = await self._request(JOBS[command], body)
        names = (*_KEPT_MEMBERS, "reference") if command == "verify" else _KEPT_MEMBERS
        client_members = {name: body[name] for name in names if name in body}
        return await self.builds.start(command, request, client_members)

    async def _request(self, kind: type[R], body: Mapping[str, Any]) -> R:
        """Makes the request of a body: paths become real paths, and the settings fill in missing options."""
        values = {name: body[name] for name, (_, option) in kind.options().items() if option.client and name in body}
        source: dict[str, str] = {}
        if issubclass(kind, SourceRequest):
            source["prefix"], source["lockfile"] = await self._source(body)
        if "launch" in kind.options() and source["prefix"]:
            values["launch"] = await self.kernels.launch(body)
        for name in ("allowed_registries", "allow_prefixes"):
            if name in kind.options():
                values[name] = list(getattr(self._settings, name))

        def make() -> R:
            given = path_checks.options(kind, values, self._root, self._settings)
            return kind.of(self._settings, **{**given, **source})

        return await asyncio.to_thread(make)

    async def _source(self, body: Mapping[str, Any]) -> tuple[str, str]:
        """Returns the prefix and the path of the lock file that a body names. One of the two is empty."""
        if "lockfile" in body:
            return "", str(await asyncio.to_thread(self.lockfiles.path, body["lockfile"]))
        return str(await self.kernels.prefix(body)), ""

    async def _side(self, side: Mapping[str, Any]) -> str:
        if "build" in side:
            return await self._image_of(side["build"])
        if "reference" in side:
            return await asyncio.to_thread(path_checks.image, self._root, side["reference"], self._settings)
        return "".join(await self._source(side))

    async def _image_of(self, id: str) -> str:
        """Returns the image of a finished build, by its digest. Raises NotThere."""
        record = await self.builds.record(id)
        result = record.ending or {}
        if result.get("type") != Finished.type:
            raise NotThere(f"The build {id[:100]!r} has no image.", "Name a build that has finished.")
        if record.request.get("engine") == "docker" and not record.request.get("push"):
            # Only the engine or the archive has such an image. Its lock file says which packages it has.
            return str(await asyncio.to_thread(self.lockfiles.path, result["environment"]))
        if record.command == "build" and not record.request.get("push"):
            return str(result["digest"])
        name = Reference.parse(result["reference"])
        return str(Reference(name.registry, name.repository, digest=Digest.parse(result["digest"])))
