"""Credential helpers: the programs ``docker-credential-NAME``, which keep logins in the key ring of a system.

Source: github.com/docker/docker-credential-helpers, "Development".
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT = 60.0
"""The seconds after which a helper is ended. A helper may ask the user for the password of the key ring."""


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

    def run(self, action: str, text: str) -> bytes:
        """Runs an action with a text on standard input, and returns the output. Raises HelperProblem.

        Args:
            action: ``get``, ``store`` or ``erase``.
        """
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.name):
            raise HelperProblem("the name of the credential helper is not valid")
        executable = shutil.which(self.program, path=self.environ.get("PATH"))
        if executable is None:
            raise HelperProblem(f"the credential helper {self.program} is not installed")
        try:
            done = subprocess.run(
                [executable, action], input=text.encode(), capture_output=True, timeout=TIMEOUT, env=dict(self.environ)
            )
        except subprocess.TimeoutExpired:
            raise HelperProblem(
                f"the credential helper {self.program} did not answer within {TIMEOUT:.0f} seconds"
            ) from None
        except OSError as error:
            raise HelperProblem(f"the credential helper {self.program} cannot be started ({error.strerror})") from None
        if done.returncode:
            missing = b"credentials not found" in done.stdout + done.stderr
            raise HelperProblem(
                f"the credential helper {self.program} failed with status {done.returncode}", missing=missing
            )
        return done.stdout
