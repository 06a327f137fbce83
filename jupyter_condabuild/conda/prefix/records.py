"""PrefixRecord and PathsEntry: an installed package as conda-meta describes it, in the same form for conda and rattler.

Source: the JSON files in ``conda-meta`` as conda and rattler write them (PrefixRecord in both).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from jupyter_condabuild.conda.paths import LONGEST_PATH, WINDOWS_SITE_PACKAGES, is_site_packages
from jupyter_condabuild.conda.platforms import is_subdir
from jupyter_condabuild.errors import BrokenRecord
from jupyter_condabuild.files import read_regular

_NAME_PART = re.compile(r"(?!\.)[\w.+!~-]{1,240}", re.ASCII)

_MOST_BYTES = 256 << 20
_PLATFORMS = {"win32": "win", "darwin": "osx"}
"""Values of ``platform`` that are not in the name of a subdir (conda.models.enums.Platform)."""

_WINDOWS_PATH = re.compile(r"(?:Lib|Library|Scripts|DLLs|Menu|etc|include|share|bin|conda-meta)\\", re.IGNORECASE)
"""The start of a path that was written on Windows. In other paths, a backslash is a part of a name."""

SOFTLINK = 2
"""The type of a package whose files are links into the package cache."""


class PathsEntry(NamedTuple):
    """One path of an installed package.

    `path` is relative to the prefix and uses ``/``. `kind` is the path_type of the record: hardlink, softlink,
    directory, pyc_file or unix_python_entry_point. `sha256` is the hash of the file in the package, `sha256_in_prefix`
    the hash of the linked file (both hexadecimal; empty if the record does not contain them). `size` is the size of the
    file in the package, in bytes, or None if the record does not contain it. `placeholder` is the prefix that the
    installer replaces in the file, and `file_mode` is ``text`` or ``binary``; both are empty for other files.
    """

    path: str
    kind: str
    sha256: str = ""
    sha256_in_prefix: str = ""
    size: int | None = None
    placeholder: str = ""
    file_mode: str = ""

    @property
    def expected_sha256(self) -> str:
        """The hash (hexadecimal) that the file in the prefix should have; empty if the record does not contain it."""
        if self.sha256_in_prefix:
            return self.sha256_in_prefix
        return "" if self.placeholder else self.sha256


@dataclass(frozen=True)
class PrefixRecord:
    """An installed conda package, as one JSON file in conda-meta describes it.

    The channel, the URL and the requested specs may contain credentials, so they are not in the repr. `channel` is the
    URL or the name of the channel, without the subdir. `size` is the size of the archive in bytes. `source` is the JSON
    file, and `raw` is its JSON object.
    """

    name: str
    version: str
    build: str
    build_number: int
    channel: str = field(repr=False)
    subdir: str
    fn: str
    url: str = field(repr=False)
    md5: str
    sha256: str
    size: int | None
    depends: tuple[str, ...]
    constrains: tuple[str, ...]
    noarch: str
    python_site_packages_path: str
    requested_specs: tuple[str, ...] = field(repr=False)
    extracted_package_dir: str
    package_tarball_full_path: str
    source: Path
    raw: Mapping[str, Any] = field(repr=False, hash=False, compare=False)

    @property
    def dist(self) -> str:
        """``name-version-build``: the file names of the record and of the archive without their suffixes."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def is_wheel(self) -> bool:
        """Whether conda installed a wheel (conda 26 with conda-pypi, https://github.com/conda/ceps/pull/145)."""
        return self.fn.endswith(".whl") or urlsplit(self.url).path.endswith(".whl")

    @property
    def link_type(self) -> int:
        """How conda linked the files, a LinkType of conda.models.enums; 0 if the record does not say it."""
        link = self.raw.get("link")
        kind = link.get("type") if isinstance(link, Mapping) else None
        return kind if isinstance(kind, int) else 0

    @property
    def files(self) -> Sequence[str]:
        """The paths of the package, relative to the prefix. Faster than `paths`: no entry is parsed."""
        return self.raw.get("files") or [entry.path for entry in self.paths]

    @classmethod
    def read(cls, path: Path) -> PrefixRecord:
        """Reads one record. Raises BrokenRecord if the file cannot be read or is not a complete record in JSON."""
        try:
            raw = json.loads(read_regular(path, _MOST_BYTES, follow=True))
            return cls.parse(raw, path)
        except OSError as error:
            raise BrokenRecord(f"Cannot read {path}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise BrokenRecord(f"{path} is not a complete package record ({error}).") from None

    @classmethod
    def parse(cls, raw: Mapping[str, Any], path: Path) -> PrefixRecord:
        """Parses a JSON object. Raises KeyError, TypeError, AttributeError or ValueError if it is no valid record."""
        raw = _with_slashes(raw)
        name, version, build = _name_part(raw, "name"), _name_part(raw, "version"), _name_part(raw, "build")
        url = raw.get("url") or ""
        folder, file = posixpath.split(urlsplit(url).path)
        channel = _channel(raw.get("channel") or raw.get("schannel")) or posixpath.dirname(posixpath.dirname(url))
        channel = channel.rstrip("/")
        channel, _, last = channel.rpartition("/") if is_subdir(posixpath.basename(channel)) else (channel, "", "")
        subdir = _name_part(raw, "subdir", posixpath.basename(folder) or last or _subdir_of_system(raw))
        archive = unquote(file) or re.split(r"[/\\]", raw.get("package_tarball_full_path") or "")[-1]
        noarch = raw.get("noarch") or ""
        if noarch is True:  # older records: true means "generic"
            noarch = "generic"
        _check_paths(raw.get("files") or ())
        _check_paths([entry["_path"] for entry in (raw.get("paths_data") or {}).get("paths") or ()])
        return cls(
            name=name,
            version=version,
            build=build,
            build_number=int(raw.get("build_number") or 0),
            channel=channel.removesuffix(f"/{subdir}"),
            subdir=subdir,
            fn=_name_part(raw, "fn", archive or f"{name}-{version}-{build}.conda"),
            url=url,
            md5=raw.get("md5") or "",
            sha256=raw.get("sha256") or "",
            size=int(raw["size"]) if raw.get("size") is not None else None,
            depends=tuple(raw.get("depends") or ()),
            constrains=tuple(raw.get("constrains") or ()),
            noarch=noarch,
            python_site_packages_path=_site_packages(raw.get("python_site_packages_path") or ""),
            requested_specs=_requested(raw),
            extracted_package_dir=raw.get("extracted_package_dir") or "",
            package_tarball_full_path=raw.get("package_tarball_full_path") or "",
            source=path,
            raw=raw,
        )

    @cached_property
    def paths(self) -> tuple[PathsEntry, ...]:
        """The paths of the package in the prefix. Raises BrokenRecord if the list of paths is not valid.

        For noarch packages, conda writes the unresolved paths ``site-packages/…`` and ``python-scripts/…`` to
        paths_data. It writes the resolved paths, in the same order, to ``files``.
        """
        raw_files = self.raw.get("files") or []
        paths_data = self.raw.get("paths_data") or {}
        entries = paths_data.get("paths")
        try:
            if entries is None:  # very old records have no paths_data
                return tuple(PathsEntry(_checked_path(path), "hardlink") for path in raw_files)
            resolve = _resolver(self.noarch, raw_files)
            return tuple(
                PathsEntry(
                    path=_checked_path(resolve(entry["_path"])),
                    kind=entry.get("path_type") or "hardlink",
                    sha256=entry.get("sha256") or "",
                    sha256_in_prefix=entry.get("sha256_in_prefix") or "",
                    size=entry.get("size_in_bytes"),
                    placeholder=entry.get("prefix_placeholder") or "",
                    file_mode=entry.get("file_mode") or "",
                )
                for entry in entries
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BrokenRecord(f"{self.source}: the list of paths is not valid ({error}).") from None


def _name_part(raw: Mapping[str, Any], key: str, default: str = "") -> str:
    """Returns a field that becomes part of file names and URLs. Raises ValueError if it has other characters."""
    value = raw.get(key) or default or raw[key]
    if not isinstance(value, str) or not _NAME_PART.fullmatch(value):
        raise ValueError(f"{key} {value!r} is not valid")
    return value


def _channel(value: Any) -> str:
    """Returns the name or the URL of a channel, perhaps with the subdir. Older versions of conda write a mapping."""
    if not isinstance(value, Mapping):
        return value or ""
    name = value.get("name") or value.get("canonical_name") or ""
    if value.get("scheme") and value.get("location"):
        return f"{value['scheme']}://{value['location']}/{name}"
    return name


def _subdir_of_system(raw: Mapping[str, Any]) -> str:
    """Returns the subdir of a record that does not name it, as conda's SubdirField (conda.models.records) does."""
    platform, arch = raw.get("platform") or "", raw.get("arch") or ""
    if raw.get("noarch") or not platform or not arch:
        return "noarch"
    return f"{_PLATFORMS.get(platform, platform)}-{('64' if '64' in arch else '32') if 'x86' in arch else arch}"


def _site_packages(path: str) -> str:
    """Returns a site-packages folder, or empty for the usual one of Windows.

    Raises ValueError for another path: it would lead out of the prefix.
    """
    if path.replace("\\", "/").lower() == WINDOWS_SITE_PACKAGES.lower():
        return ""
    if path and not is_site_packages(path):
        raise ValueError(f"python_site_packages_path {path[:200]!r} is not valid")
    return path


def _with_slashes(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a record with ``/`` in its paths: on Windows, micromamba writes backslashes."""
    files = raw.get("files") or ()
    if "\\" not in "".join(files) or not any(_WINDOWS_PATH.match(path) for path in files):
        return raw
    data = raw.get("paths_data") or {}
    entries = [{**entry, "_path": entry["_path"].replace("\\", "/")} for entry in data.get("paths") or ()]
    data = {"paths_data": {**data, "paths": entries}} if data.get("paths") else {}
    return {**raw, "files": [path.replace("\\", "/") for path in files], **data}


def _check_paths(paths: Collection[str]) -> None:
    """Raises ValueError as `_checked_path` does. Looks at all paths at once: an environment has tens of thousands."""
    text = "\0".join(paths)
    starts = {path[:1] for path in paths}
    is_safe = starts.isdisjoint(("", "/")) and ".." not in text and text.count("\0") == len(paths) - 1
    if paths and not (is_safe and len(max(paths, key=len)) <= LONGEST_PATH):
        for path in paths:
            _checked_path(path)


def _checked_path(path: str) -> str:
    """Returns the path of a record. Raises ValueError if it leads out of the prefix or is too long for any file."""
    if not path or path[0] == "/" or "\0" in path or (".." in path and ".." in path.split("/")):
        raise ValueError(f"path {path[:200]!r} leads out of the environment")
    if len(path) > LONGEST_PATH:
        raise ValueError(f"path {path[:200]!r}… is too long")
    return path


def _requested(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the specs that the user requested for this package; empty for a dependency.

    conda writes requested_spec and requested_specs, and _requested_specs for dependencies. rattler writes
    requested_specs.
    """
    specs = raw.get("requested_specs") or ([raw["requested_spec"]] if raw.get("requested_spec") else [])
    return tuple(str(spec) for spec in specs if spec and spec != "None")


def _resolver(noarch: str, files: list[str]) -> Any:
    """Returns a function that maps ``site-packages/x`` of a noarch Python package to the path that ``files`` has."""
    if noarch != "python":
        return lambda path: path
    listed = set(files)
    site = next((path[: path.index("site-packages/")] for path in files if "/site-packages/" in path), "")

    def resolve(path: str) -> str:
        if path in listed:
            return path
        if path.startswith("site-packages/"):
            return site + path
        if path.startswith("python-scripts/"):
            return ("Scripts/" if site == "Lib/" else "bin/") + path.removeprefix("python-scripts/")
        return path

    return resolve
