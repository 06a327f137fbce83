"""What is answered at once: a command of the command line, each in a process of its own, and what it printed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import BuildLimit, CondaBuildError
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.server import process
from jupyter_condabuild.server.single_flight import SingleFlight
from jupyter_condabuild.text import seconds_text

AT_ONCE = 2
LIMIT_SECONDS = 600.0


class CommandRunner:
    """Runs commands, each once for all who ask the same at the same time."""

    def __init__(self, limit: float = LIMIT_SECONDS) -> None:
        """`limit` is in seconds."""
        self._limit = limit
        self._room = asyncio.Semaphore(AT_ONCE)
        self._shared: SingleFlight[dict[str, Any]] = SingleFlight()

    async def ask(self, command: str, request: Request) -> dict[str, Any]:
        """The JSON object that a command prints; not to be changed. Raises what the command raises, and BuildLimit."""
        text = json.dumps(request.to_json(), sort_keys=True)
        return await self._shared.get(f"{command} {text}", lambda: self._ask(command, text))

    async def close(self) -> None:
        """Ends those under way."""
        await self._shared.close()

    async def _ask(self, command: str, text: str) -> dict[str, Any]:
        async with self._room:
            out, err, status = await self._run(command, text)
        return await asyncio.to_thread(_result, command, out, err, status)

    async def _run(self, command: str, text: str) -> tuple[bytes, bytes, int | None]:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "jupyter_condabuild", command, "--request", "-", "--events", "jsonl", "--json"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=process.environment(os.environ),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._limit):
                out, err = await child.communicate(text.encode())
        except TimeoutError:
            raise BuildLimit(
                f"'{command}' took longer than {seconds_text(self._limit)}.",
                "Is an environment on a slow or hanging network disk, or a registry far away?",
            ) from None
        finally:
            if child.returncode is None:
                process.kill(child.pid)
                await child.wait()
        return out, err, child.returncode


def _result(command: str, out: bytes, err: bytes, status: int | None) -> dict[str, Any]:
    try:
        last = json.loads(out.rstrip().rpartition(b"\n")[2])
        if status == 0:
            return dict(last)
        if last["type"] == "failed":
            raise _error(last["code"], last["message"], last["hint"])
    except (ValueError, KeyError, TypeError):
        pass
    words = scrub(err.decode("utf-8", "replace").strip()[-500:]) or "it did not say why"
    raise CondaBuildError(f"'{command}' failed (status {status}): {words}.")


def _error(code: str, message: str, hint: str) -> CondaBuildError:
    """The error that a command told of."""
    kinds: list[type[CondaBuildError]] = [CondaBuildError]
    for kind in kinds:
        if kind.code == code:
            return kind(message, hint)
        kinds += kind.__subclasses__()
    error = CondaBuildError(message, hint)
    error.code = code  # type: ignore[misc]
    return error
