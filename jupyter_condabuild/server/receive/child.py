"""A command that runs as a child process of the server, reports events, and ends with the server at the latest."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from jupyter_condabuild.server import process
from jupyter_condabuild.system import limits, process_tree

MEMORY = 4 << 30
"""The memory in bytes for a process that reads what a stranger may have made, and runs nothing of it."""

_LONGEST_LINE = 1 << 20
_END_SECONDS = 30.0


class Child:
    """The process of a command, which leads a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._thread: threading.Thread | None = None

    @classmethod
    async def start(cls, command: str, request: dict[str, Any], memory: int = 0) -> Self:
        """Starts a command with a request in its JSON form. The command ends by itself if the server is killed.

        Args:
            memory: the memory in bytes that the process may use; 0 for no limit.
        """
        child = cls(await asyncio.to_thread(_started, command, json.dumps({**request, "for_server": True})))
        if memory:
            limits.limit_memory(child.process.pid, memory)
        return child

    def follow(self, take: Callable[[dict[str, Any]], None], ended: Callable[[], None]) -> None:
        """Gives each event of the process to `take`, and calls `ended` after the end. Both run in a thread.

        Args:
            take: gets the result of the command, too, which has no type. It may raise for an event of another form.
        """
        self._thread = threading.Thread(target=self._follow, args=(take, ended), daemon=True)
        self._thread.start()

    def _follow(self, take: Callable[[dict[str, Any]], None], ended: Callable[[], None]) -> None:
        assert self.process.stdout
        with self.process.stdout as events:
            while line := events.readline(_LONGEST_LINE):
                with suppress(ValueError, KeyError, TypeError):  # not an event
                    take(json.loads(line))
        self.process.wait()
        ended()

    async def end(self) -> None:
        """Asks the process to end, and waits until `ended` was called.

        After 30 seconds, the process is killed with all that it has started.
        """
        if self.process.poll() is None:
            process_tree.ask_to_end(self.process.pid)
            try:
                await asyncio.to_thread(self.process.wait, _END_SECONDS)
            except subprocess.TimeoutExpired:
                process_tree.kill_group(self.process.pid)
        if self._thread:
            await asyncio.to_thread(self._thread.join)


def _started(command: str, request: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-m", "jupyter_condabuild", command, "--request", "-", "--events", "jsonl", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=process.environment(os.environ),
        **process_tree.SESSION,
    )
    assert child.stdin
    with child.stdin:
        child.stdin.write(request.encode())
    return child
