"""Warnings about a lock file that the user should read before an image is built from it."""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_condabuild.conda.channels import is_local
from jupyter_condabuild.conda.formats import pip_sources
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import counted, listed


def findings(lockfile: Lockfile) -> tuple[Warning, ...]:
    """Returns all warnings about a lock file: about conda packages, then pip packages.

    They have the codes of `prefix.diagnostics.findings`: the same fault is called the same in an environment and in a
    lock file.
    """
    return (*_conda_warnings(lockfile), *_pip_warnings(lockfile))


def _conda_warnings(lockfile: Lockfile) -> Iterator[Warning]:
    if names := [package.name for package in lockfile.conda if not package.sha256]:
        yield Warning(
            "conda-without-hash",
            f"The lock file contains no sha256 of {counted(names, 'conda package')}: {listed(names)}.",
            "Write the lock file again with hashes (conda list --explicit --sha256). Without hashes, it cannot prove "
            "that a reinstall gives the same packages. The lock file in the image has the hashes that were found.",
        )
    if names := [package.name for package in lockfile.conda if is_local(package.url)]:
        yield Warning(
            "local-channel",
            f"The lock file has {counted(names, 'conda package')} from a channel on this machine: {listed(names)}.",
            "Other users cannot install from the lock file. Upload the packages to a channel that they can reach.",
        )


def _pip_warnings(lockfile: Lockfile) -> Iterator[Warning]:
    of_conda = {package.name for package in lockfile.conda}
    for package in lockfile.pip:
        title = f"{package.name} {package.version}".rstrip()
        if package.name in of_conda:
            yield Warning(
                "conda-overwritten-by-pip",
                f"The lock file has {package.name} twice: pip's {title} overwrites files of the conda package.",
                "Remove one of the two packages from the environment, and lock it again.",
            )
        if is_local(place := package.url or package.index):
            yield Warning(
                "local-install",
                f"{title} comes from a place on this machine ({place}).",
                "Other users cannot install the package from the lock file.",
            )
        elif pip_sources.is_vcs(package.url) and pip_sources.is_pinned(package.url):
            yield Warning(
                "vcs-install",
                f"{title} is built from version control ({package.url}).",
                "A build of the package on another machine may differ.",
            )
    if names := [
        package.name
        for package in lockfile.pip
        if not package.sha256 and not package.editable and not pip_sources.is_pinned(package.url)
    ]:
        yield Warning(
            "pip-without-hash",
            f"The lock file contains no hash of {counted(names, 'pip package')}: {listed(names)}.",
            "A lock file without a hash, or with a branch of a repository, cannot prove that a reinstall gives the "
            "same files.",
        )
