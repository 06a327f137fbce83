"""The command line as a user runs it: its own process, its output and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT = 240
"""The longest time for a command, in seconds."""


HELD = """
import json, signal, sys, threading
from jupyter_condabuild import cli, events

words, signalled = json.loads(sys.argv.pop(1)), threading.Event()

class Held(events.JsonLines):
    def __call__(self, event):
        super().__call__(event)
        if all(word in events.encode(event, 0, 0) for word in words):
            signalled.wait()

def then(handler):
    def handle(*arguments):
        signalled.set()
        handler(*arguments)
    return handle

cli.JsonLines = Held
cli._interrupt = then(cli._interrupt)
signal.signal(signal.SIGINT, then(signal.default_int_handler))
cli.main()
"""
"""The command line. After an event whose line has all `words`, it waits for a signal: the build cannot end before."""


@dataclass(frozen=True)
class Done:
    """An ended command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as events."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class CommandLine:
    """Runs `jupyter condabuild` with its own store and settings."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        kept = ("PATH", "PYTHONPATH", "DOCKER_HOST", "LANG", "TMPDIR")
        self.environ = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(home),
            "CONDABUILD_STORE_DIR": str(self.store),
            **self.environ,
        }

    @property
    def store(self) -> Path:
        """The local store."""
        return self.folder / "store"

    def __call__(self, *arguments: str | Path, environ: Mapping[str, str] | None = None, input: str = "") -> Done:
        done = subprocess.run(
            self.command(*arguments),
            env={**self.environ, **(environ or {})},
            input=input,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=LIMIT,
            cwd=self.folder,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, held: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Starts a command as the first of a process group. With `held`, it stops after an event with these words."""
        command = self.command(*arguments)
        return subprocess.Popen(
            [sys.executable, "-c", HELD, json.dumps(held), *command[3:]] if held else command,
            env={**self.environ, "PYTHONPATH": str(Path(__file__).parents[2])} if held else self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            process_group=0,
        )

    def in_a_terminal(self, words: Sequence[str | Path], keys: str) -> tuple[str, int]:
        """Runs a command in a terminal, types keys at its first question or prompt, and returns output and status."""
        import pty  # Windows has none

        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(sys.executable, self.command(*words), self.environ)
        seen, typed = b"", False
        while True:
            try:
                chunk = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            seen += chunk
            if not typed and (b"[y/N]" in seen or b">>>" in seen):
                typed = True
                os.write(terminal, keys.encode())
        os.close(terminal)
        return seen.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    @staticmethod
    def command(*arguments: str | Path) -> list[str]:
        """Returns the arguments of a command."""
        return [sys.executable, "-m", "jupyter_condabuild", *map(str, arguments)]
