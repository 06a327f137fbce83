"""The kernels and kernelspecs of this server, and the conda environment of each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_server.gateway.managers import GatewayKernelSpecManager

from jupyter_condabuild.conda.prefix.kernel import REMOTE_HINT, prefix_of_kernelspec
from jupyter_condabuild.conda.prefix.kernel_process import prefix_of_process
from jupyter_condabuild.conda.prefix.launch import of_kernelspec, of_process
from jupyter_condabuild.conda.prefix.snapshot import name_of
from jupyter_condabuild.errors import NotACondaKernel, NotThere, PrefixError
from jupyter_condabuild.server import path_checks


class Kernels:
    """Finds the environment of a running kernel, of a kernelspec, or at a path.

    Args:
        kernels: the server's kernel manager.
        kernelspecs: the server's kernelspec manager.
        allowed: the setting allow_prefixes.
    """

    def __init__(self, kernels: Any, kernelspecs: Any, allowed: Sequence[str]) -> None:
        self._kernels = kernels
        self._kernelspecs = kernelspecs
        self._allowed = allowed

    async def prefix(self, body: Mapping[str, Any]) -> Path:
        """Returns the prefix that the body of a request names by `kernel_id`, `kernel_name` or `prefix`.

        Raises NotThere, NotACondaKernel, NotAPrefix and PrefixNotAllowed.
        """
        if "kernel_id" in body:
            return await asyncio.to_thread(self._finder_of_kernel(body["kernel_id"]))
        if "kernel_name" in body:
            specs = await self._specs()
            if body["kernel_name"] not in specs:
                raise NotThere(f"This server has no kernelspec {body['kernel_name'][:100]!r}.")
            return await asyncio.to_thread(self._finder_of_kernelspec(specs[body["kernel_name"]]))
        return await asyncio.to_thread(path_checks.environment, body["prefix"], self._allowed)

    async def launch(self, body: Mapping[str, Any]) -> list[str]:
        """Returns the launch variables of the kernel that the body of a request names (see `conda.prefix.launch`).

        They are those of the running kernel if this server sees its process, else those that it would give to a kernel.
        """
        id, name = str(body.get("kernel_id", "")), str(body.get("kernel_name", ""))
        if id in self._kernels.list_kernel_ids():
            name = self._kernels.get_kernel(id).kernel_name
            process = self._local_process(id)
            with suppress(OSError):  # the kernel has ended, or runs as another user
                if process:
                    return list(await asyncio.to_thread(of_process, process.pid))
        specs = await self._specs() if name else {}
        return list(of_kernelspec(specs.get(name, {}).get("spec", {})))

    async def environments(self) -> dict[str, Any]:
        """Returns the object `Environments` of openapi.yaml."""
        specs = await self._specs()
        running = []
        for id in self._kernels.list_kernel_ids():
            name = self._kernels.get_kernel(id).kernel_name
            about = {"id": id, "name": name, "display_name": _display_name(specs, name)}
            running.append((about, self._finder_of_kernel(id)))
        installed = [
            ({"name": name, "display_name": _display_name(specs, name)}, self._finder_of_kernelspec(specs[name]))
            for name in sorted(specs)
        ]

        def find_all() -> dict[str, Any]:
            return {
                "kernels": [{**about, **_environment(find)} for about, find in running],
                "kernelspecs": [{**about, **_environment(find)} for about, find in installed],
            }

        return await asyncio.to_thread(find_all)

    async def _specs(self) -> Mapping[str, Any]:
        # In a thread: a kernelspec manager may run conda (nb_conda_kernels). Its method may also be asynchronous.
        specs = await asyncio.to_thread(self._kernelspecs.get_all_specs)
        return (await specs) if inspect.isawaitable(specs) else specs  # type: ignore[no-any-return]

    def _finder_of_kernel(self, id: str) -> Callable[[], Path]:
        """Returns a function, to be called in a thread, that finds the prefix of a running kernel. Raises NotThere."""
        if id not in self._kernels.list_kernel_ids():
            raise NotThere(f"This server runs no kernel {id[:100]!r}.", "Start the kernel again if it was shut down.")
        process = self._local_process(id)

        def find() -> Path:
            if process is None:
                raise NotACondaKernel("The kernel runs on another machine or in a container.", REMOTE_HINT)
            return path_checks.environment(prefix_of_process(process.pid), self._allowed)

        return find

    def _local_process(self, id: str) -> Any:
        """Returns the process of a kernel; None if it is no process of this machine."""
        provisioner = self._kernels.get_kernel(id).provisioner
        return provisioner.process if isinstance(provisioner, LocalProvisioner) else None

    def _finder_of_kernelspec(self, entry: Mapping[str, Any]) -> Callable[[], Path]:
        """Returns a function, to be called in a thread, that finds the prefix in which a kernelspec's kernels run.

        Args:
            entry: the kernelspec as a kernelspec manager lists it, with `spec` and `resource_dir`.
        """
        folder = entry.get("resource_dir", "")

        def find() -> Path:
            if isinstance(self._kernelspecs, GatewayKernelSpecManager):
                raise NotACondaKernel("The kernels of this kernelspec run on a gateway server.", REMOTE_HINT)
            return path_checks.environment(prefix_of_kernelspec(entry["spec"], resource_dir=folder), self._allowed)

        return find


def _display_name(specs: Mapping[str, Any], name: str) -> str:
    return str(specs.get(name, {}).get("spec", {}).get("display_name") or name)


def _environment(find: Callable[[], Path]) -> dict[str, Any]:
    try:
        prefix = find()
    except PrefixError as error:
        fault = {"code": error.code, "message": error.message, "hint": error.hint}
        return {"prefix": None, "environment": None, "fault": fault}
    return {"prefix": str(prefix), "environment": name_of(prefix), "fault": None}
