"""The job `convert`: writes a lock file in another format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.conda.foreign.findings import findings
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.events import Report
from jupyter_condabuild.planning.inputs import read_lockfile
from jupyter_condabuild.requests.others import LockRequest
from jupyter_condabuild.requests.source import LockfileRequest
from jupyter_condabuild.text import counted


@dataclass(frozen=True)
class Converted:
    """The packages of a lock file, for one platform."""

    lockfile: Lockfile

    def lockfile_text(self, request: LockRequest) -> str:
        """Returns the lock file in the format of a request."""
        return dump(
            self.lockfile,
            request.format,  # type: ignore[arg-type]  # the request allows only the choices
            hash="md5" if request.md5 else "sha256",
        )

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        lockfile = self.lockfile
        return {
            "platform": lockfile.platform,
            "digest": lockfile.digest,
            "conda": len(lockfile.conda),
            "pip": len(lockfile.pip),
        }

    def text(self) -> str:
        """Returns the result in one line."""
        lockfile = self.lockfile
        pip = f", {counted(lockfile.pip, 'pip package')}" if lockfile.pip else ""
        return f"{counted(lockfile.conda, 'conda package')}{pip}, {lockfile.platform}\nEnvironment {lockfile.digest}"


def run(request: LockRequest, report: Report) -> Converted:
    """Reads the lock file of a request. Raises LockfileError."""
    choice = LockfileRequest(
        platform=next(iter(request.platform), ""), environment=request.environment, category=request.category
    )
    lockfile = read_lockfile(request.lockfile, choice, report)
    for warning in findings(lockfile):
        report(warning)
    return Converted(lockfile)
