"""The process of a build: its folder, its start in a session of its own, and signals to its process group.

A build continues when the server that started it ends. Its standard output is the events file, so a server that ends
loses no event. The process holds a lock (flock) on that file while it runs. The lock shows whether a build runs: a
process number may belong to another process by now. The number is used for signals only, on the machine and in the
process namespace that assigned it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.files import open_private
from jupyter_condabuild.server.event_log import EventLog
from jupyter_condabuild.system import locks, process_tree

_SECRET_VARIABLES = ("JUPYTERHUB_", "JPY_", "JUPYTER_TOKEN")  # the beginnings of their names
_STDERR_BYTES = 2000


@dataclass(frozen=True)
class Workplace:
    """The folder of one build. It has the request, the events file and the standard error of the process."""

    folder: Path

    @property
    def event_log(self) -> EventLog:
        """The events file, to which the process writes its standard output."""
        return EventLog(self.folder / "events.jsonl")

    @property
    def request(self) -> Path:
        """The file with the JSON object of the request."""
        return self.folder / "request.json"

    @property
    def stderr(self) -> Path:
        """The file with the standard error of the process. It is empty unless something went wrong."""
        return self.folder / "stderr.txt"

    def prepare(self, request: Mapping[str, Any]) -> None:
        """Makes the folder, readable for this user only, and writes the request."""
        self.folder.mkdir(mode=0o700, parents=True)
        with open(self.request, "w", opener=open_private) as file:
            json.dump(request, file)

    @property
    def is_locked(self) -> bool:
        """Whether a process has the events file open for writing: the build runs."""
        try:
            with open(self.event_log.path, "rb") as file:
                return not locks.try_share(file.fileno())
        except FileNotFoundError:
            return False

    @property
    def stderr_tail(self) -> str:
        """The last 2000 bytes of the standard error as text. Empty if there is no such file."""
        try:
            with open(self.stderr, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _STDERR_BYTES))
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment variables for a build: those of the server without the server's secrets."""
    kept = {name: value for name, value in environ.items() if not name.startswith(_SECRET_VARIABLES)}
    # Without PYTHONSAFEPATH, `python -m` imports modules (for example a user's json.py) from the working directory.
    return {**kept, "PYTHONSAFEPATH": "1"}


def start(place: Workplace, command: str = "build", environ: Mapping[str, str] = os.environ) -> int:
    """Starts a command with the request of `place`.

    Returns the process number, which is also the number of the process group and of the session.
    """
    arguments = [sys.executable, "-m", "jupyter_condabuild", command, "--request", "-", "--events", "jsonl"]
    with (
        open(place.request, "rb") as request,
        open(place.event_log.path, "ab", opener=open_private) as events,
        open(place.stderr, "ab", opener=open_private) as errors,
    ):
        locks.try_own(events.fileno())  # the process inherits the open file and its lock
        process = subprocess.Popen(
            arguments,
            stdin=request,
            stdout=events,
            stderr=errors,
            env=environment(environ),
            **process_tree.SESSION,
        )
    process_tree.let_run(process)
    return process.pid
