"""What a person should know of an environment before they build an image of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from jupyter_condabuild.conda.channels import package_url
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import counted, listed

if TYPE_CHECKING:
    from jupyter_condabuild.conda.prefix.environment import Environment


def findings(environment: Environment, superseded: Iterable[PrefixRecord] = ()) -> tuple[Warning, ...]:
    """All of them, conda's first."""
    return (*_of_conda(environment, superseded), *_of_pip(environment), *_of_state(environment))


def _of_conda(environment: Environment, superseded: Iterable[PrefixRecord]) -> Iterator[Warning]:
    for record in superseded:
        yield Warning(
            "superseded-record",
            f"conda-meta still lists {record.dist}, of which a newer record exists: an update was interrupted.",
            f"Run 'conda install --force-reinstall {record.name}' in this environment.",
        )
    if names := [record.name for record in environment.records if not record.sha256]:
        yield Warning(
            "conda-without-hash",
            f"{counted(names, 'conda package')} without a sha256 in conda-meta: {listed(names)}.",
            "Reinstall them from a channel to get their hashes; a lock file without them proves less.",
        )
    if names := [record.name for record in environment.records if package_url(record).startswith("file:")]:
        yield Warning(
            "local-channel",
            f"{counted(names, 'conda package')} from a channel on this machine: {listed(names)}.",
            "Others cannot install from the lock file; upload the packages to a channel that they can reach.",
        )


def _of_pip(environment: Environment) -> Iterator[Warning]:
    for one in environment.pip:
        package = one.package
        what = f"{package.name} {package.version}"
        if one.overwrites:
            yield Warning(
                "conda-overwritten-by-pip",
                f"pip's {what} overwrote files of the conda package {one.overwrites}, which conda still lists.",
                "The image gets pip's files. To be rid of the mixture, remove both and install the package once.",
            )
        if one.editable_source is not None:
            yield Warning(
                "editable-install",
                f"{what} is an editable install: its code lies in {one.editable_source}, outside of any package.",
                "The image gets a copy of the code as it is now; a wheel or a commit can be installed again.",
            )
        elif one.source == "local":
            yield Warning(
                "local-install",
                f"{what} was installed from a local file or folder ({package.url}).",
                "The image gets its installed files; others cannot install it from the lock file.",
            )
        elif one.source == "vcs":
            yield Warning(
                "vcs-install",
                f"{what} was built from version control ({package.url}).",
                "The image gets its installed files; a rebuild elsewhere may differ.",
            )
        if not one.complete:
            yield Warning(
                "pip-without-record",
                f"{what} has no list of its files ({one.dist_info}).",
                "Its files are reported as untracked; reinstall it with a current pip.",
            )
    if names := [
        one.package.name for one in environment.pip if not one.package.sha256 and one.source in ("index", "archive")
    ]:
        yield Warning(
            "pip-without-hash",
            f"{counted(names, 'pip package')} without a hash: {listed(names)}.",
            "pip records no hash of what it takes from an index. The image gets the installed files; "
            "a lock file alone cannot prove that a reinstall is the same.",
        )


def _of_state(environment: Environment) -> Iterator[Warning]:
    if environment.frozen is not None:
        message = f": {environment.frozen}" if environment.frozen else ""
        yield Warning(
            "frozen",
            f"The environment is frozen{message}.",
            "The image is built as usual; it takes the environment as it is.",
        )
    if environment.variables:
        names = list(environment.variables)
        yield Warning(
            "variables",
            f"The environment sets {counted(names, 'variable')}: {listed(names)}.",
            "They may hold secrets and stay out of the image unless you ask for them.",
        )
