"""What pip needs in the builder to install the pip packages of a lock file: pip itself, and git for repositories."""

from __future__ import annotations

from jupyter_condabuild.conda.formats import pip_sources
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.text import listed


def check_build_tools(lockfile: Lockfile, report: Report) -> None:
    """Warns if pip may not find git. Raises LockfileError if there is no pip."""
    names = {package.name for package in lockfile.conda}
    if lockfile.pip and "pip" not in names:
        raise LockfileError(
            f"The lock file has pip packages ({listed([package.name for package in lockfile.pip])}), but it does not "
            "have the conda package pip, which installs them.",
            "Add pip and python to the conda packages of the environment, and lock it again.",
        )
    of_git = [package.name for package in lockfile.pip if pip_sources.is_vcs(package.url)]
    if of_git and "git" not in names:
        report(
            Warning(
                "git-needed",
                f"pip needs git to install {listed(of_git)}, and git is not among the conda packages.",
                "Add the conda package git to the environment, or name an installer image that has git "
                "(--installer-image).",
            )
        )
