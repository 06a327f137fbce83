"""Runs the commands whose result is the answer to a REST request, each command in its own process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import BuildLimit, CondaBuildError, PlatformNeeded
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.server import process
from jupyter_condabuild.server.single_flight import SingleFlight
from jupyter_condabuild.system import limits, process_tree
from jupyter_condabuild.text import seconds_text

MAX_PROCESSES = 2
LIMIT_SECONDS = 600.0
LIMIT_BYTES = 4 << 30
"""The memory of a process that answers a request. What it reads may come from a stranger, as an image does."""

_HINT = "The image, the lock file or the environment may be too large, or damaged on purpose."


class CommandRunner:
    """Runs commands. Equal commands that are asked for at the same time run once.

    Args:
        limit: seconds after which a command is ended.
        memory: the memory in bytes that a command may use (RLIMIT_DATA of getrlimit(2): what a process can write).
    """

    def __init__(self, limit: float = LIMIT_SECONDS, memory: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._memory = memory
        self._slots = asyncio.Semaphore(MAX_PROCESSES)
        self._shared: SingleFlight[dict[str, Any]] = SingleFlight()

    async def run(self, command: str, request: Request) -> dict[str, Any]:
        """Runs a command, such as ``kernel list``, and returns the JSON object that it prints. Callers share it: do not
        change it.

        Raises the error that the command reports, and BuildLimit if the command takes too long or too much memory.
        """
        text = json.dumps(request.to_json(), sort_keys=True)
        return await self._shared.get(f"{command} {text}", lambda: self._run(command, text))

    async def close(self) -> None:
        """Ends the commands that run."""
        await self._shared.close()

    async def _run(self, command: str, text: str) -> dict[str, Any]:
        async with self._slots:
            out, err, status = await self._communicate(command, text)
        return await asyncio.to_thread(_result, command, out, err, status)

    async def _communicate(self, command: str, text: str) -> tuple[bytes, bytes, int | None]:
        child = _started(command)
        limits.limit_memory(child.pid, self._memory)
        try:
            async with asyncio.timeout(self._limit):
                out, err = await asyncio.to_thread(child.communicate, text.encode())
        except TimeoutError:
            raise BuildLimit(
                f"The command '{command}' took longer than {seconds_text(self._limit)}.",
                "Check whether the environment is on a slow network disk, or whether the registry answers slowly.",
            ) from None
        finally:
            if child.poll() is None:
                process_tree.kill_group(child.pid)
                await asyncio.to_thread(child.wait)
        return out, err, child.returncode


def _started(command: str) -> subprocess.Popen[bytes]:
    # Not a process of asyncio: on Windows, Jupyter's event loop has none.
    return subprocess.Popen(
        [sys.executable, "-m", "jupyter_condabuild", *command.split(), "--request", "-", "--events", "jsonl", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=process.environment(os.environ),
        **process_tree.SESSION,
    )


def _result(command: str, out: bytes, err: bytes, status: int | None) -> dict[str, Any]:
    try:
        last = json.loads(out.rstrip().rpartition(b"\n")[2])
        if status == 0:
            return dict(last)
        if last["type"] == "failed":
            error = _error(last["code"], last["message"], last["hint"])
            if isinstance(error, PlatformNeeded):
                error.platform = last.get("platform", "")
            raise error
    except (ValueError, KeyError, TypeError):
        pass
    if status in process_tree.WITHOUT_MEMORY or b"MemoryError" in err:
        raise BuildLimit(f"The command '{command}' needs more memory than it may use.", _HINT)
    detail = scrub(err.decode("utf-8", "replace").strip()[-500:]) or "it gave no reason"
    raise CondaBuildError(f"The command '{command}' failed (status {status}): {detail}.")


def _error(code: str, message: str, hint: str) -> CondaBuildError:
    """Returns the error of a `failed` event: of the class that has its code, else a CondaBuildError with that code."""
    classes: list[type[CondaBuildError]] = [CondaBuildError]
    for candidate in classes:
        if candidate.code == code:
            return candidate(message, hint)
        classes += candidate.__subclasses__()
    error = CondaBuildError(message, hint)
    error.code = code  # type: ignore[misc]
    return error
