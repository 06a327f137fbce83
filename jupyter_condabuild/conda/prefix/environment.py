"""Environment: what is in a conda prefix, as the prefix's own files describe it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jupyter_condabuild.conda.packages import site_packages_of
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.events import Warning


@dataclass(frozen=True)
class Environment:
    """A conda environment as its own files describe it.

    `records` and `pip` are sorted by name. `requested` are the specs that people asked for, `channels` are URLs or
    names in order of priority as far as that is known; both without credentials. `variables` (from conda-meta/state)
    may be secrets: they are in no repr and in no warning. `frozen` is the message of a frozen environment, empty where
    it has none, None where it is not frozen.
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
    warnings: tuple[Warning, ...] = ()

    @property
    def site_packages(self) -> str:
        """Where Python's packages lie, relative to the prefix; empty without Python."""
        return site_packages(self.records)


def site_packages(records: Iterable[PrefixRecord]) -> str:
    """Where the Python package among the records keeps its packages, relative to the prefix; empty without Python."""
    for record in records:
        if record.name == "python":
            return record.python_site_packages_path or site_packages_of(record.version, record.build)
    return ""
