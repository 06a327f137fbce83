"""LocalProgram: a program of an image that runs as a process of this machine, without an engine."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Self

from jupyter_condabuild.errors import EngineFault
from jupyter_condabuild.oci.engine.containers import STOP_SECONDS, State
from jupyter_condabuild.receive.bubblewrap import never_began
from jupyter_condabuild.system import terminal as terminals
from jupyter_condabuild.system.process_tree import GROUP, interrupt_below

NOT_STARTED = 127
"""The exit status of a program that could not be started, as of a shell and of an engine."""

_FAULT_OF_SANDBOX = 1
_LAST = 4000
"""The number of bytes at the end of the output that `log` returns."""


class LocalProgram:
    """A program with the methods of a `Container` that a command needs. It ends with the context, with its children.

    Args:
        words: the command that makes the sandbox and starts the program in it. The sandbox ends when this process does.
        environ: all variables of the command.
        said: the file to which bubblewrap writes whether it has started the program; None if nothing writes there.
    """

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], said: IO[bytes] | None = None) -> None:
        self._words = list(words)
        self._environ = dict(environ)
        self._said = said
        if said:
            os.set_inheritable(said.fileno(), True)
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
            return self._status(terminals.run(self._words, self._environ))
        self._start(subprocess.Popen(self._words, env=self._environ, pass_fds=self._passed))
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
                pass_fds=self._passed,
                **GROUP,
            )
        )

    def start_as_kernel(self) -> None:
        """Starts the program with the output of this process, and an input that ends when this process does."""
        more = {"stdin": subprocess.PIPE, "pass_fds": self._passed, **GROUP}
        self._start(subprocess.Popen(self._words, env=self._environ, **more))

    def wait(self) -> int:
        """Waits for the end of the program, and returns its exit status.

        The status is 128 and the number of a signal after one, and `NOT_STARTED` if the program could not be started.
        """
        status = self._running.wait()
        return self._status(status if status >= 0 else 128 - status)

    @property
    def began(self) -> bool:
        """Whether the program was started, as far as the sandbox has said."""
        if not self._said:
            return True
        self._said.seek(0)
        return not never_began(self._said.read())

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

    def _status(self, status: int) -> int:
        return NOT_STARTED if status == _FAULT_OF_SANDBOX and not self.began else status

    @property
    def _passed(self) -> tuple[int, ...]:
        return (self._said.fileno(),) if self._said else ()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if not self._process:
            raise EngineFault("The program was not started.")
        return self._process
