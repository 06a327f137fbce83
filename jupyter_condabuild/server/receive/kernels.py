"""The kernels of images that are installed for this user: lists, installs and removes them over REST."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_condabuild.errors import NotThere
from jupyter_condabuild.receive import kernelspecs
from jupyter_condabuild.requests.receive import KernelInstallRequest, KernelListRequest
from jupyter_condabuild.server.command_runner import CommandRunner
from jupyter_condabuild.settings import Settings

LIMIT_SECONDS = 4 * 3600.0
"""The time that an installation may take: the engine may have to pull a large image."""

ANSWER_SECONDS = 25.0
"""The time after which a request is answered, although the installation still runs. A proxy may end it after 60 s."""


class ImageKernels:
    """Lists, installs and removes the kernels.

    Args:
        runner: runs the commands that take no long time.
        answer: the seconds after which `install` returns.
    """

    def __init__(self, settings: Settings, runner: CommandRunner, answer: float = ANSWER_SECONDS) -> None:
        self._settings = settings
        self._runner = runner
        self._answer = answer
        self._installations = CommandRunner(limit=LIMIT_SECONDS)

    async def close(self) -> None:
        """Ends the installations that run."""
        await self._installations.close()

    async def all(self) -> dict[str, Any]:
        """Returns the object `ImageKernels` of openapi.yaml."""
        allowed = list(self._settings.allowed_registries)
        return await self._runner.run("kernel list", KernelListRequest.of(self._settings, allowed_registries=allowed))

    async def install(self, request: KernelInstallRequest) -> dict[str, Any] | None:
        """Installs the kernels of an image, and returns the object `ImageKernels`.

        Returns None while the installation still runs. An equal request then waits for the same installation.
        """
        try:
            async with asyncio.timeout(self._answer):
                return await self._installations.run("kernel install", request)
        except TimeoutError:
            return None

    async def remove(self, name: str) -> dict[str, Any]:
        """Removes the kernel of a name, and returns the object `RemovedKernel`. Raises NotThere, StoreError."""

        def work() -> dict[str, Any]:
            found = next((one for one in kernelspecs.installed() if one.name == name), None)
            if found is None:
                raise NotThere(f"No kernel of an image has the name {name[:100]!r}.")
            kernelspecs.remove(found)
            return {"name": found.name, "reference": found.kernel.reference}

        return await asyncio.to_thread(work)
