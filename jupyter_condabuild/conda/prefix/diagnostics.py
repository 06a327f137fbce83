"""Warnings about an environment that the user should read before an image is built from it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from jupyter_condabuild.conda.channels import is_local, package_url
from jupyter_condabuild.conda.formats.pip_sources import is_pinned
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import counted, listed

if TYPE_CHECKING:
    from jupyter_condabuild.conda.prefix.environment import Environment


def findings(environment: Environment, superseded: Iterable[PrefixRecord] = ()) -> tuple[Warning, ...]:
    """Returns all warnings about an environment: about conda packages, then pip packages, then its settings.

    Args:
        superseded: records that an interrupted update left beside newer records of the same packages.
    """
    return (*_conda_warnings(environment, superseded), *_pip_warnings(environment), *_settings_warnings(environment))


def _conda_warnings(environment: Environment, superseded: Iterable[PrefixRecord]) -> Iterator[Warning]:
    for record in superseded:
        yield Warning(
            "superseded-record",
            f"conda-meta lists {record.dist} beside a newer record of the same package: an update was interrupted.",
            f"Run 'conda install --force-reinstall {record.name}' in this environment.",
        )
    if names := [record.name for record in environment.records if not record.sha256]:
        yield Warning(
            "conda-without-hash",
            f"conda-meta contains no sha256 of {counted(names, 'conda package')}: {listed(names)}.",
            "Reinstall the packages from a channel to get their hashes. "
            "Without hashes, a lock file cannot prove that a reinstall gives the same packages.",
        )
    if names := [record.name for record in environment.records if is_local(package_url(record))]:
        yield Warning(
            "local-channel",
            f"The environment has {counted(names, 'conda package')} from a channel on this machine: {listed(names)}.",
            "Other users cannot install from the lock file. Upload the packages to a channel that they can reach.",
        )


def _pip_warnings(environment: Environment) -> Iterator[Warning]:
    for distribution in environment.pip:
        package = distribution.package
        title = f"{package.name} {package.version}"
        if distribution.overwrites:
            yield Warning(
                "conda-overwritten-by-pip",
                f"pip's {title} overwrote files of the conda package {distribution.overwrites}, "
                "which conda still lists.",
                "The image contains pip's files. To repair the environment, remove both packages and install only one.",
            )
        if distribution.editable_source is not None and not os.path.isdir(distribution.editable_source):
            yield Warning(
                "editable-source-missing",
                f"{title} is an editable install, but its folder {distribution.editable_source} does not exist.",
                "Neither this environment nor the image can import it. Remove the package, or install it again.",
            )
        elif distribution.editable_source is not None:
            yield Warning(
                "editable-install",
                f"{title} is an editable install: its code is in {distribution.editable_source}, not in a package.",
                "The image contains a copy of the current code. Only a wheel or a commit can be installed again.",
            )
        elif is_local(package.url or package.index):
            yield Warning(
                "local-install",
                f"{title} was installed from a place on this machine ({package.url or package.index}).",
                "The image contains the installed files. Other users cannot install the package from the lock file.",
            )
        elif distribution.source == "vcs" and is_pinned(package.url):
            yield Warning(
                "vcs-install",
                f"{title} was built from version control ({package.url}).",
                "The image contains the installed files. A build of the package on another machine may differ.",
            )
        if not distribution.complete:
            yield Warning(
                "pip-without-record",
                f"{title} has no list of its files ({distribution.dist_info}).",
                "Its files are reported as untracked. Reinstall the package with a current version of pip.",
            )
    if names := [
        distribution.package.name
        for distribution in environment.pip
        if not distribution.package.sha256
        and distribution.source in ("index", "archive", "vcs")
        and not is_pinned(distribution.package.url)
    ]:
        yield Warning(
            "pip-without-hash",
            f"The environment contains no hash of {counted(names, 'pip package')}: {listed(names)}.",
            "pip does not record the hash of a package from an index. The image contains the installed files, "
            "but a lock file alone cannot prove that a reinstall gives the same files.",
        )


def _settings_warnings(environment: Environment) -> Iterator[Warning]:
    if environment.former:
        yield Warning(
            "copied-environment",
            f"The environment was at {listed(environment.former)}, and was copied or moved to {environment.prefix}.",
            "In the image, its files name the folder of the image in the place of both. Here, its programs may still "
            "run those of the old folder: make the environment again (conda create --clone).",
        )
    if environment.frozen is not None:
        message = f": {environment.frozen}" if environment.frozen else ""
        yield Warning(
            "frozen",
            f"The environment is frozen{message}.",
            "The build only reads the environment, so the image is built as usual.",
        )
    if environment.variables:
        names = list(environment.variables)
        yield Warning(
            "variables",
            f"The environment sets {counted(names, 'variable')}: {listed(names)}.",
            "The variables may contain secrets. The image does not contain them unless you ask for it (--variables).",
        )
