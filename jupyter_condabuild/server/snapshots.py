"""Snapshots: what an environment holds and what its build would do, each found out by a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from jupyter_condabuild.build.request import BuildRequest
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import BuildLimit, CondaBuildError, from_code
from jupyter_condabuild.server import process
from jupyter_condabuild.server.lockfiles import Lockfiles
from jupyter_condabuild.server.shared import Shared
from jupyter_condabuild.units import seconds_text

AT_ONCE = 2
LIMIT_SECONDS = 600.0


class Snapshots:
    """Takes snapshots, each once for all who ask for the same one at the same time, and keeps their lock files."""

    def __init__(self, lockfiles: Lockfiles, limit: float = LIMIT_SECONDS) -> None:
        """`limit` is in seconds."""
        self._lockfiles = lockfiles
        self._limit = limit
        self._room = asyncio.Semaphore(AT_ONCE)
        self._shared: Shared[dict[str, Any]] = Shared()

    async def take(self, request: BuildRequest) -> dict[str, Any]:
        """openapi.yaml's Snapshot; raises what reading the environment raises, and BuildLimit."""
        text = json.dumps(request.to_json(), sort_keys=True)
        return await self._shared.get(text, lambda: self._take(text))

    async def close(self) -> None:
        """Ends those under way."""
        await self._shared.close()

    async def _take(self, text: str) -> dict[str, Any]:
        async with self._room:
            out, err, status = await self._run(text)
        return await asyncio.to_thread(self._result, out, err, status)

    async def _run(self, text: str) -> tuple[bytes, bytes, int | None]:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "jupyter_condabuild", "snapshot", "--request", "-", "--events", "jsonl"),
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
                f"Reading the environment took longer than {seconds_text(self._limit)}.",
                "Is it on a slow or hanging network disk? 'jupyter condabuild lock' shows how far it comes.",
            ) from None
        finally:
            if child.returncode is None:
                process.kill(child.pid)
                await child.wait()
        return out, err, child.returncode

    def _result(self, out: bytes, err: bytes, status: int | None) -> dict[str, Any]:
        try:
            found = json.loads(out.rstrip().rpartition(b"\n")[2])
            if "plan" in found:
                self._lockfiles.keep(found["digest"], found.pop("lock"))
                return found  # type: ignore[no-any-return]
            if found["type"] == "failed":
                raise from_code(found["code"], found["message"], found["hint"])
        except (ValueError, KeyError, TypeError):
            pass
        words = scrub(err.decode("utf-8", "replace").strip()[-500:]) or "it did not say why"
        raise CondaBuildError(f"Reading the environment failed (status {status}): {words}.")
