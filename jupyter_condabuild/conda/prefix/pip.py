"""PipDistribution: a distribution that pip (or uv, poetry, setup.py, …) installed into a conda environment.

Source: the ``.dist-info``, ``.egg-info``, ``.egg`` and ``.egg-link`` entries of site-packages
(https://packaging.python.org/specifications/recording-installed-packages/).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.conda.channels import is_local
from jupyter_condabuild.conda.packages import PYPI, PipPackage, canonical_name, is_on_pypi
from jupyter_condabuild.conda.prefix import pip_metadata as metadata
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.files import open_regular

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_INFO_PATH = re.compile(r"(?P<info>.*/(?P<name>[^/-]+)[^/]*\.(?:dist|egg)-info)(?:/.*)?", re.DOTALL)


@dataclass(frozen=True)
class PipDistribution:
    """A distribution in site-packages that is no conda package: pip or another tool installed it, or conda as a wheel.

    `dist_info` and `files` are relative to the prefix. `files` are the files in the prefix that RECORD lists; some of
    them may be missing. If there is no such list, `complete` is False, and `files` are only the files that were found.
    `installer` is the content of INSTALLER. `overwrites` is the name of the conda package whose files the distribution
    overwrote, or empty. `editable_source` is the folder that an editable install imports from, or None.
    """

    package: PipPackage
    dist_info: str
    files: tuple[str, ...]
    installer: str = ""
    editable_source: Path | None = None
    overwrites: str = ""
    complete: bool = True

    @property
    def source(self) -> str:
        """The kind of source that it was installed from: index, archive, vcs, local or editable."""
        return source_of(self.package)


def source_of(package: PipPackage) -> str:
    """Returns the kind of source that a package was installed from: index, archive, vcs, local or editable."""
    if package.editable:
        return "editable"
    if is_local(package.url):
        return "local"
    if not package.url or package.index:
        return "index"
    if re.match(r"(?:git|hg|bzr|svn)\+", package.url):
        return "vcs"
    return "archive"


def pip_distributions(
    prefix: Path, site_packages: str, records: Sequence[PrefixRecord], wheels: Sequence[PrefixRecord] = ()
) -> tuple[PipDistribution, ...]:
    """Returns the distributions in site-packages that are no conda packages, sorted by name.

    They include distributions that overwrote a conda package.

    Args:
        site_packages: the site-packages folder, relative to the prefix; empty if the environment has no Python.
        records: the conda packages.
        wheels: the records of the wheels that conda installed. A wheel without its metadata folder is not installed.
    """
    if not site_packages:
        return ()
    conda_infos, wheel_infos = _infos(records), _infos(wheels)
    index = metadata.index_of(prefix)
    distributions = []
    for name in _metadata_entries(prefix / site_packages):
        info = f"{site_packages}/{name}"
        record, wheel = conda_infos.get(info), wheel_infos.get(info)
        if wheel:
            distributions.append(_of_wheel(wheel, _read(prefix, site_packages, info, index)))
        elif record is None:
            distributions.append(_read(prefix, site_packages, info, index))
        elif _replaced(prefix, info, record):
            distributions.append(replace(_read(prefix, site_packages, info, index), overwrites=record.name))
    distributions = _with_overwrites(distributions, conda_infos, records)
    return tuple(sorted(distributions, key=lambda distribution: (distribution.package.name, distribution.dist_info)))


def _infos(records: Sequence[PrefixRecord]) -> dict[str, PrefixRecord]:
    """Returns the records by the metadata folders of their distributions."""
    return {
        match["info"]: record
        for record in records
        for path in record.files
        if "-info" in path and (match := _INFO_PATH.fullmatch(path))
    }


def _of_wheel(record: PrefixRecord, distribution: PipDistribution) -> PipDistribution:
    """Adds what the record of a wheel knows: its URL, its hash and all its files, with the commands.

    If another installer has replaced the wheel, its record says nothing.
    """
    if distribution.installer and not distribution.installer.startswith("conda"):  # conda-pypi: conda-via-whl
        return distribution
    url, _, fragment = scrub_url(record.url).partition("#")
    sha256 = record.sha256 or fragment.removeprefix("sha256=")
    package = replace(
        distribution.package,
        url=url,
        index=PYPI if is_on_pypi(url) else "" if url else distribution.package.index,
        sha256=sha256 if _SHA256.fullmatch(sha256) else "",
    )
    files = tuple(sorted({*distribution.files, *record.files}))
    return replace(distribution, package=package, files=files, complete=True)


def _metadata_entries(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [
        name
        for name in names
        if not name.startswith("~")  # pip leaves such a folder after an interrupted uninstall
        and (
            name.endswith((".dist-info", ".egg-info", ".egg-link"))
            or (name.endswith(".egg") and os.path.isdir(folder / name / "EGG-INFO"))
        )
    ]


def _replaced(prefix: Path, info: str, record: PrefixRecord) -> bool:
    """Whether another installer rewrote a dist-info folder that conda installed."""
    installer = metadata.text_of(prefix / info / "INSTALLER").strip()
    if not info.endswith(".dist-info") or installer in ("", "conda"):
        return False
    expected = {entry.path: entry.expected_sha256 for entry in record.paths if entry.path.startswith(info)}
    if f"{info}/INSTALLER" not in expected:
        return True
    return any(
        _sha256(prefix / path) != expected[path]
        for path in (f"{info}/INSTALLER", f"{info}/RECORD")
        if expected.get(path)
    )


def _sha256(path: Path) -> str:
    try:
        with open(open_regular(path, follow=True), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _read(prefix: Path, site_packages: str, info: str, index: str) -> PipDistribution:
    folder = prefix / info
    if info.endswith(".egg-link"):
        source = metadata.egg_link_source(folder)
        name, version = metadata.name_and_version(metadata.egg_info_in(source), info.removesuffix(".egg-link"))
        package = PipPackage(canonical_name(name), version, url=source.as_uri(), editable=True)
        return PipDistribution(package, info, (info,), editable_source=source, complete=False)
    if info.endswith(".egg"):
        name, version = metadata.name_and_version(folder / "EGG-INFO", info.removesuffix(".egg"))
        package = PipPackage(canonical_name(name), version, index=index)
        return PipDistribution(package, f"{info}/EGG-INFO", metadata.files_below(prefix, info))
    name, version = metadata.name_and_version(folder, info.rpartition(".")[0])
    listed = metadata.listed_files(prefix, site_packages, info)
    files = listed if listed is not None else metadata.files_below(prefix, info)
    origin = metadata.origin(folder)
    source_folder = origin.folder if origin.editable else metadata.editable_source(prefix, files)
    url = origin.url or (source_folder.as_uri() if source_folder else "")
    package = PipPackage(
        name=canonical_name(name),
        version=version,
        url=url,
        index=index if origin.from_index or not url else "",
        sha256=origin.sha256,
        editable=source_folder is not None,
    )
    installer = metadata.text_of(folder / "INSTALLER").strip()
    return PipDistribution(package, info, files, installer, source_folder, complete=listed is not None)


def _with_overwrites(
    distributions: list[PipDistribution], conda_infos: dict[str, PrefixRecord], records: Sequence[PrefixRecord]
) -> list[PipDistribution]:
    """Sets `overwrites` to the conda package with the same name, or else to a conda package with the same files."""
    if not distributions:
        return distributions
    by_name = {
        canonical_name(match["name"]): record.name
        for info, record in conda_infos.items()
        if (match := _INFO_PATH.fullmatch(info))
    }
    by_file = {path: "" for distribution in distributions for path in distribution.files if not path.endswith(".pyc")}
    for record in records:
        for path in record.files:
            if path in by_file:
                by_file[path] = record.name
    return [
        replace(
            distribution,
            overwrites=distribution.overwrites
            or by_name.get(distribution.package.name, "")
            or next((by_file[path] for path in distribution.files if by_file.get(path)), ""),
        )
        for distribution in distributions
    ]
