"""LocalProgram: a program of an image that runs as a process of this machine, without an engine."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Self

from jupyter_condabuild.errors import EngineFault
from jupyter_condabuild.oci.engine.containers import STOP_SECONDS, State
from jupyter_condabuild.system import terminal as terminals
from jupyter_condabuild.system.process_tree import GROUP, interrupt_below

_LAST = 4000
"""The number of bytes at the end of the output that `log` returns."""


class LocalProgram:
    """A program with the methods of a `Container` that a command needs. It ends with the context, with its children.

    Args:
        words: the command that makes the sandbox and starts the program in it. The sandbox ends when this process does.
        environ: all variables of the command.
    """

    def __init__(self, words: Sequence[str], environ: Mapping[str, str]) -> None:
        self._words = list(words)
        self._environ = dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._output:
            self._output.close()

    def attached(self, *, terminal: bool) -> int:
        """Runs the program with the input and output of this process, and returns its exit status.

        Args:
            terminal: whether the program has a terminal of its own, to which every key goes, Ctrl-C too.
        """
        if terminal:
            return terminals.run(self._words, self._environ)
        self._start(subprocess.Popen(self._words, env=self._environ))
        return self.wait()

    def start(self) -> None:
        """Starts the program without input. Its output is kept for `log`."""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed at the end of the context
        self._start(
            subprocess.Popen(
                self._words,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                **GROUP,
            )
        )

    def start_as_kernel(self) -> None:
        """Starts the program with the output of this process, and an input that ends when this process does."""
        self._start(subprocess.Popen(self._words, env=self._environ, stdin=subprocess.PIPE, **GROUP))

    def wait(self) -> int:
        """Waits for the end of the program, and returns its exit status: 128 and the number of a signal after one."""
        status = self._running.wait()
        return status if status >= 0 else 128 - status

    def state(self) -> State:
        """Returns the state of the program."""
        return State(self._running.poll() is None, killed_for_memory=False)

    def log(self) -> str:
        """Returns the end of the output."""
        assert self._output
        self._output.seek(max(0, self._output.seek(0, 2) - _LAST))
        return self._output.read().decode(errors="replace")

    def interrupt(self) -> None:
        """Sends SIGINT to the program."""
        interrupt_below(self._running.pid)

    def _start(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if not self._process:
            raise EngineFault("The program was not started.")
        return self._process
