"""The job `convert`: writes a lock file in another format, or for other platforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.conda.foreign.findings import findings
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.events import Report
from jupyter_condabuild.jobs.lock import other
from jupyter_condabuild.planning.inputs import is_for, read_lockfile
from jupyter_condabuild.requests.others import LockRequest
from jupyter_condabuild.requests.source import LockfileRequest
from jupyter_condabuild.text import counted

if TYPE_CHECKING:
    from jupyter_condabuild.planning.other_platform import OtherPlatform


@dataclass(frozen=True)
class Converted:
    """The packages of a lock file, for the platforms of the request. `others` are those that were solved again."""

    lockfiles: tuple[Lockfile, ...]
    others: tuple[OtherPlatform, ...] = ()

    def lockfile_text(self, request: LockRequest) -> str:
        """Returns the lock file in the format of a request."""
        first = self.lockfiles[0]
        return dump(
            first,
            request.format,  # type: ignore[arg-type]  # the request allows only the choices
            channels=first.channels_by_priority,
            hash="md5" if request.md5 else "sha256",
            others=self.lockfiles[1:],
        )

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object. Its members are of the first platform."""
        lockfile = self.lockfiles[0]
        return {
            "platform": lockfile.platform,
            "digest": lockfile.digest,
            "conda": len(lockfile.conda),
            "pip": len(lockfile.pip),
            **({"platforms": [one.substitution.to_json() for one in self.others]} if self.others else {}),
        }

    def text(self) -> str:
        """Returns two lines for each platform, and the tables of those that were solved again."""
        lines = []
        for lockfile in self.lockfiles:
            pip = f", {counted(lockfile.pip, 'pip package')}" if lockfile.pip else ""
            lines.append(f"{counted(lockfile.conda, 'conda package')}{pip}, {lockfile.platform}")
            lines.append(f"Environment {lockfile.digest}")
        return "\n".join([*lines, *(line for one in self.others for line in ("", one.substitution.text()))])


def run(request: LockRequest, report: Report) -> Converted:
    """Reads the lock file of a request, and solves it again for each platform that it does not have.

    Raises LockfileError, and the errors of `other_platform.for_platform`.
    """
    lockfiles, others = [], []
    for platform in dict.fromkeys(request.platform or ("",)):
        choice = LockfileRequest(platform=platform, environment=request.environment, category=request.category)
        lockfile = read_lockfile(request.lockfile, choice, report, other=True)
        if not is_for(lockfile, platform):
            others.append(other(lockfile, platform, request, report))
            lockfile = others[-1].lockfile
        lockfiles.append(lockfile)
        for warning in findings(lockfile):
            report(warning)
    return Converted(tuple(lockfiles), tuple(others))
