"""Environment: the packages and settings of a conda prefix, as the prefix's own files describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_condabuild.conda.packages import site_packages_of
from jupyter_condabuild.conda.paths import WINDOWS_SITE_PACKAGES
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.events import Warning


@dataclass(frozen=True)
class Environment:
    """A conda environment, as the files of its prefix describe it.

    `records` and `pip` are sorted by name. A wheel that conda installed is in `pip`, as other programs need pip for it.
    `requested` are the specs that the user requested. `channels` are URLs, in
    order of priority if the priority is known. Neither contains credentials. The values of `variables` (from
    conda-meta/state) may be secrets: they are in no repr and in no warning. `pinned` are the specs of
    conda-meta/pinned. `frozen` is the message of a frozen environment: empty if there is no message, None if the
    environment is not frozen. `left_out` are the editable installs that the user leaves out: they are not in `pip`.
    `former` are the paths at which the environment was before it was copied or moved.
    """

    prefix: Path
    name: str
    platform: str
    records: tuple[PrefixRecord, ...]
    requested: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    pip: tuple[PipDistribution, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    pinned: tuple[str, ...] = ()
    frozen: str | None = None
    left_out: tuple[PipDistribution, ...] = ()
    former: tuple[str, ...] = ()
    warnings: tuple[Warning, ...] = ()

    @property
    def site_packages(self) -> str:
        """The site-packages folder, relative to the prefix; empty if the environment has no Python."""
        return site_packages(self.records)


def site_packages(records: Iterable[PrefixRecord]) -> str:
    """Returns the site-packages folder of the Python in `records`, relative to the prefix; empty without Python."""
    for record in records:
        if record.name == "python":
            if record.subdir.startswith("win-"):
                return WINDOWS_SITE_PACKAGES
            return record.python_site_packages_path or site_packages_of(record.version, record.build)
    return ""
