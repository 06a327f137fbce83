"""Reads the metadata of a prefix into an Environment. It compares no files: `drift` does that."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from jupyter_condabuild.conda.channels import channel_url
from jupyter_condabuild.conda.packages import canonical_name
from jupyter_condabuild.conda.platforms import linux_platform
from jupyter_condabuild.conda.prefix import history
from jupyter_condabuild.conda.prefix.diagnostics import findings
from jupyter_condabuild.conda.prefix.environment import Environment, site_packages
from jupyter_condabuild.conda.prefix.mentions import former_paths
from jupyter_condabuild.conda.prefix.pip import pip_distributions
from jupyter_condabuild.conda.prefix.pip_metadata import text_of
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.secrets import scrub, scrub_url
from jupyter_condabuild.errors import NotAPrefix

UNSET = "***unset***"
"""The value that conda-meta/state has for a variable that activation removes (conda.core.prefix_data)."""

RESERVED = frozenset(("PATH", "CONDA_PREFIX", "CONDA_SHLVL", "CONDA_DEFAULT_ENV", "CONDA_PROMPT_MODIFIER"))
"""The variables that activation itself sets (RESERVED_ENV_VARS in conda.base.constants, and conda.activate)."""


def snapshot(prefix: Path, without: Collection[str] = ()) -> Environment:
    """Reads the metadata of a prefix. Raises NotAPrefix or BrokenRecord.

    Args:
        without: the names of editable installs to leave out, in any spelling. Other packages are never left out.
    """
    prefix = Path(prefix).absolute()
    meta = prefix / "conda-meta"
    installed, superseded = _records(prefix)
    wheels = tuple(record for record in installed if record.is_wheel)
    records = tuple(record for record in installed if not record.is_wheel)
    past = history.read(text_of(meta / "history"))
    names = {canonical_name(name) for name in without}
    installed_by_pip = pip_distributions(prefix, site_packages(records), records, wheels)
    left_out = tuple(item for item in installed_by_pip if item.editable_source and item.package.name in names)
    environment = Environment(
        prefix=prefix,
        name=name_of(prefix),
        platform=_platform(records),
        records=records,
        requested=_requested(records, past),
        channels=_channels(records, past),
        pip=tuple(item for item in installed_by_pip if item not in left_out),
        variables=_variables(text_of(meta / "state")),
        pinned=_pinned(text_of(meta / "pinned")),
        frozen=_frozen(meta / "frozen"),
        left_out=left_out,
        former=former_paths(prefix, records),
    )
    return replace(environment, warnings=findings(environment, superseded))


def _records(prefix: Path) -> tuple[tuple[PrefixRecord, ...], tuple[PrefixRecord, ...]]:
    """Returns the newest record of each package, and the older records that an interrupted update left."""
    try:
        names = os.listdir(prefix / "conda-meta")
    except FileNotFoundError:
        raise NotAPrefix(f"{prefix} is not a conda environment: it has no conda-meta folder.") from None
    except OSError as error:
        raise NotAPrefix(f"Cannot read the conda environment {prefix}: {error.strerror}.") from None
    by_name: dict[str, list[PrefixRecord]] = {}
    for name in names:
        if name.endswith(".json") and not name.startswith("."):
            record = PrefixRecord.read(prefix / "conda-meta" / name)
            by_name.setdefault(record.name, []).append(record)
    if not by_name:
        raise NotAPrefix(f"{prefix} is an empty conda environment: its conda-meta lists no package.")
    current, superseded = [], []
    for name in sorted(by_name):
        *older, newest = sorted(by_name[name], key=lambda record: (record.source.stat().st_mtime, record.dist))
        current.append(newest)
        superseded.extend(older)
    return tuple(current), tuple(superseded)


def name_of(prefix: Path) -> str:
    """Returns the usual name of an environment: the name of its folder, ``base``, or the name of its pixi project."""
    if prefix.parent.name == "envs" and prefix.parent.parent.name == ".pixi":  # project/.pixi/envs/default
        project = prefix.parent.parent.parent.name
        return project if prefix.name == "default" else f"{project}-{prefix.name}"
    return "base" if (prefix / "condabin").is_dir() else prefix.name


def platform_of(prefix: Path) -> str:
    """Returns the platform of an environment, without its other metadata. Raises NotAPrefix or BrokenRecord."""
    return _platform(_records(prefix)[0])


def _platform(records: Iterable[PrefixRecord]) -> str:
    """Returns the subdir of most packages. If all packages are noarch, returns the Linux subdir of this machine."""
    subdirs = Counter(record.subdir for record in records if record.subdir != "noarch")
    if subdirs:
        return subdirs.most_common(1)[0][0]
    return linux_platform()


def _requested(records: Iterable[PrefixRecord], past: history.History) -> tuple[str, ...]:
    """Returns the latest requested spec of each installed package: from the history, else from the record."""
    specs = {record.name: record.requested_specs[-1] for record in records if record.requested_specs}
    installed = {record.name for record in records}
    specs.update({name: spec for name, spec in past.requested.items() if name in installed})
    return tuple(scrub(spec) for _, spec in sorted(specs.items()))


def _channels(records: Iterable[PrefixRecord], past: history.History) -> tuple[str, ...]:
    """Returns the channels of the packages: first those of the latest commands, then by their number of packages."""
    counts = Counter(channel_url(record) for record in records)
    used = sorted(counts, key=lambda channel: (-counts[channel], channel))
    names = [scrub_url(channel).rstrip("/") for channel in past.channels]
    named = [url for name in names for url in used if url == name or url.endswith(f"/{name}")]
    return tuple(dict.fromkeys([*named, *used]))


def _variables(state: str) -> dict[str, str]:
    """Returns the variables of conda-meta/state as conda sets them, without PATH and conda's own.

    Their names are in capital letters, unless the user's settings of conda say otherwise.

    Source: `_get_environment_env_vars` and `get_export_unset_vars` in conda.activate.
    """
    try:
        variables = json.loads(state or "{}").get("env_vars") or {}
        named = {str(name): str(value) for name, value in variables.items() if value not in (None, UNSET)}
    except (ValueError, AttributeError):
        return {}
    if named:
        from jupyter_condabuild.conda.clients import variables_in_capitals  # loads ssl, and few environments need it

        if variables_in_capitals(os.environ):
            named = {name.upper(): value for name, value in named.items()}
    return {name: value for name, value in sorted(named.items()) if name not in RESERVED}


def _pinned(text: str) -> tuple[str, ...]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(scrub(line) for line in lines if line)


def _frozen(path: Path) -> str | None:
    """Returns the message of conda-meta/frozen (CEP 22), which may be an empty file; None if there is no such file."""
    if not path.exists():
        return None
    text = text_of(path)
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    message = value.get("message") if isinstance(value, dict) else None
    return scrub(message) if isinstance(message, str) else ""
