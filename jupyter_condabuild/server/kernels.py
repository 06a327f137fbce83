"""Kernels and kernelspecs of this server, and the conda environment of each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.prefix.kernel import prefix_of_kernelspec, prefix_of_process
from jupyter_condabuild.conda.prefix.snapshot import name_of
from jupyter_condabuild.errors import NotACondaKernel, NotThere, PrefixError
from jupyter_condabuild.server import path_checks


class Kernels:
    """What builds can start from: the kernels that this server runs or could run, and environments by path."""

    def __init__(self, kernels: Any, kernelspecs: Any, allowed: Sequence[str]) -> None:
        """`kernels` and `kernelspecs` are the server's managers; `allowed` is the setting allow_prefixes."""
        self._kernels = kernels
        self._kernelspecs = kernelspecs
        self._allowed = allowed

    async def prefix(self, asked: Mapping[str, Any]) -> Path:
        """The environment that a request names by kernel_id, kernel_name or prefix.

        Raises NotThere, NotACondaKernel, NotAPrefix and PrefixNotAllowed.
        """
        if "kernel_id" in asked:
            return await asyncio.to_thread(self._running(asked["kernel_id"]))
        if "kernel_name" in asked:
            specs = await self._specs()
            if asked["kernel_name"] not in specs:
                raise NotThere(f"This server has no kernelspec {asked['kernel_name'][:100]!r}.")
            return await asyncio.to_thread(self._specified(specs[asked["kernel_name"]]))
        return await asyncio.to_thread(path_checks.environment, asked["prefix"], self._allowed)

    async def environments(self) -> dict[str, Any]:
        """openapi.yaml's Environments."""
        specs = await self._specs()
        running = []
        for id in self._kernels.list_kernel_ids():
            name = self._kernels.get_kernel(id).kernel_name
            about = {"id": id, "name": name, "display_name": _display_name(specs, name)}
            running.append((about, self._running(id)))
        could_run = [
            ({"name": name, "display_name": _display_name(specs, name)}, self._specified(specs[name]))
            for name in sorted(specs)
        ]

        def found() -> dict[str, Any]:
            return {
                "kernels": [{**about, **_environment(find)} for about, find in running],
                "kernelspecs": [{**about, **_environment(find)} for about, find in could_run],
            }

        return await asyncio.to_thread(found)

    async def _specs(self) -> Mapping[str, Any]:
        # A kernelspec manager may run conda to find them, and may be an asynchronous one.
        found = await asyncio.to_thread(self._kernelspecs.get_all_specs)
        return (await found) if inspect.isawaitable(found) else found  # type: ignore[no-any-return]

    def _running(self, id: str) -> Callable[[], Path]:
        """How to find a running kernel's environment, off the event loop; raises NotThere."""
        if id not in self._kernels.list_kernel_ids():
            raise NotThere(f"This server runs no kernel {id[:100]!r}.", "It may have been shut down: start it again.")
        pid = getattr(self._kernels.get_kernel(id).provisioner, "pid", None)

        def find() -> Path:
            if not pid:
                raise NotACondaKernel("The kernel runs on another machine, or where this server cannot see it.")
            return path_checks.environment(prefix_of_process(pid), self._allowed)

        return find

    def _specified(self, found: Mapping[str, Any]) -> Callable[[], Path]:
        """How to find the environment that a kernelspec's kernels would run in, off the event loop."""
        spec, folder = dict(found["spec"]), found.get("resource_dir", "")
        spec["argv"] = [str(word).replace("{resource_dir}", folder) for word in spec.get("argv") or ()]
        return lambda: path_checks.environment(prefix_of_kernelspec(spec), self._allowed)


def _display_name(specs: Mapping[str, Any], name: str) -> str:
    return str(specs.get(name, {}).get("spec", {}).get("display_name") or name)


def _environment(find: Callable[[], Path]) -> dict[str, Any]:
    try:
        prefix = find()
    except PrefixError as error:
        fault = {"code": error.code, "message": error.message, "hint": error.hint}
        return {"prefix": None, "environment": None, "fault": fault}
    return {"prefix": str(prefix), "environment": name_of(prefix), "fault": None}
