"""Credential helpers: the programs ``docker-credential-NAME``, which keep logins in the key ring of a system.

Source: github.com/docker/docker-credential-helpers, "Development".
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

TIMEOUT = 60.0
"""The seconds after which a helper is ended. A helper may ask the user for the password of the key ring."""

QUIET = 3.0
"""The seconds after which the user is told what is waited for."""

Say = Callable[[str], None]
"""Tells the user a sentence."""


class HelperProblem(Exception):
    """A helper cannot be used. The text says why, in one clause without secrets."""

    def __init__(self, problem: str, *, missing: bool = False) -> None:
        super().__init__(problem)
        self.missing = missing
        """Whether the helper works, but has no login for the server."""


@dataclass(frozen=True)
class Helper:
    """A credential helper, and the server as the helper knows it: a host, or Docker Hub's old URL."""

    name: str
    server: str
    environ: Mapping[str, str]

    @property
    def program(self) -> str:
        """The name of the program."""
        return f"docker-credential-{self.name}"

    def run(self, action: str, text: str, say: Say | None = None) -> bytes:
        """Runs an action with a text on standard input, and returns the output. Raises HelperProblem.

        Args:
            action: ``get``, ``store`` or ``erase``.
            say: tells the user that the helper is waited for, if it does not answer soon.
        """
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.name):
            raise HelperProblem("the name of the credential helper is not valid")
        executable = shutil.which(self.program, path=self.environ.get("PATH"))
        if executable is None:
            raise HelperProblem(f"the credential helper {self.program} is not installed")
        try:
            status, output, errors = self._answer([executable, action], text.encode(), say)
        except subprocess.TimeoutExpired:
            raise HelperProblem(
                f"the credential helper {self.program} did not answer within {TIMEOUT:.0f} seconds"
            ) from None
        except OSError as error:
            raise HelperProblem(f"the credential helper {self.program} cannot be started ({error.strerror})") from None
        if status:
            missing = b"credentials not found" in output + errors
            raise HelperProblem(f"the credential helper {self.program} failed with status {status}", missing=missing)
        return output

    def _answer(self, command: Sequence[str], given: bytes, say: Say | None) -> tuple[int, bytes, bytes]:
        """Returns the status, the output and the errors of a program. Raises OSError, TimeoutExpired."""
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(self.environ)) as process:
            try:
                try:
                    output, errors = process.communicate(given, timeout=min(QUIET, TIMEOUT))
                except subprocess.TimeoutExpired:
                    if say:
                        say(
                            f"Waiting for the credential helper {self.program}, for at most {TIMEOUT:.0f} seconds. It "
                            "may ask for a password in another window."
                        )
                    output, errors = process.communicate(timeout=max(0, TIMEOUT - QUIET))
            except BaseException:
                process.kill()
                raise
            return process.returncode, output, errors
