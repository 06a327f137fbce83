"""PrefixRecord and PathsEntry: what conda-meta says of an installed package, in one form for conda and rattler.

Source: the JSON files in ``conda-meta`` as conda and rattler write them (PrefixRecord in both).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_condabuild.errors import BrokenRecord

_PLAIN = re.compile(r"(?!\.)[\w.+!~-]+", re.ASCII)


class PathsEntry(NamedTuple):
    """One path of a package as it lies in the prefix.

    `path` is relative to the prefix, with ``/``. `kind` is the record's path_type: hardlink, softlink, directory,
    pyc_file, unix_python_entry_point. `sha256` is of the file in the package, `sha256_in_prefix` of the file as linked
    (hexadecimal; empty where the record does not say). `size` is in bytes, of the file in the package, or None.
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
        """The hash that the file in the prefix should have; empty where the record does not tell."""
        if self.sha256_in_prefix:
            return self.sha256_in_prefix
        return "" if self.placeholder else self.sha256


@dataclass(frozen=True)
class PrefixRecord:
    """An installed conda package. URLs are as the record has them, credentials included (and so not in its repr).

    `channel` is the channel's URL or name without the subdir. `size` is of the archive in bytes. `source` is the JSON
    file it was read from.
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
        """``name-version-build``, the stem of the record's and the package's file names."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def files(self) -> Sequence[str]:
        """The names of its paths in the prefix; quicker than `paths`."""
        return self.raw.get("files") or [entry.path for entry in self.paths]

    @classmethod
    def read(cls, path: Path) -> PrefixRecord:
        """Reads one record; raises BrokenRecord when it is not JSON, half-written or lacks a required field."""
        try:
            raw = json.loads(path.read_bytes())
            return cls.parse(raw, path)
        except OSError as error:
            raise BrokenRecord(f"Cannot read {path}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenRecord(f"{path} is not a complete package record ({error}).") from None

    @classmethod
    def parse(cls, raw: Mapping[str, Any], path: Path) -> PrefixRecord:
        """A record from its JSON object; raises KeyError, TypeError or ValueError where it is not one."""
        name, version, build = _plain(raw, "name"), _plain(raw, "version"), _plain(raw, "build")
        url = raw.get("url") or ""
        subdir = _plain(raw, "subdir", posixpath.basename(posixpath.dirname(url)) or "noarch")
        channel = raw.get("channel") or posixpath.dirname(posixpath.dirname(url))
        if isinstance(channel, Mapping):  # conda's older, structured form
            channel = channel.get("canonical_name") or channel.get("name") or ""
        noarch = raw.get("noarch") or ""
        if noarch is True:  # the old spelling of "generic"
            noarch = "generic"
        for file in raw.get("files") or ():
            _inside(file)
        for entry in (raw.get("paths_data") or {}).get("paths") or ():
            _inside(entry["_path"])
        return cls(
            name=name,
            version=version,
            build=build,
            build_number=int(raw.get("build_number") or 0),
            channel=channel.removesuffix("/").removesuffix(f"/{subdir}"),
            subdir=subdir,
            fn=_plain(raw, "fn", posixpath.basename(url) or f"{name}-{version}-{build}.conda"),
            url=url,
            md5=raw.get("md5") or "",
            sha256=raw.get("sha256") or "",
            size=int(raw["size"]) if raw.get("size") is not None else None,
            depends=tuple(raw.get("depends") or ()),
            constrains=tuple(raw.get("constrains") or ()),
            noarch=noarch,
            python_site_packages_path=raw.get("python_site_packages_path") or "",
            requested_specs=_requested(raw),
            extracted_package_dir=raw.get("extracted_package_dir") or "",
            package_tarball_full_path=raw.get("package_tarball_full_path") or "",
            source=path,
            raw=raw,
        )

    @cached_property
    def paths(self) -> tuple[PathsEntry, ...]:
        """The package's paths as they lie in the prefix; raises BrokenRecord where the record is not consistent.

        conda leaves ``site-packages/…`` and ``python-scripts/…`` of noarch packages in paths_data unresolved, but
        writes the resolved names, in the same order, in ``files``.
        """
        raw_files = self.raw.get("files") or []
        paths_data = self.raw.get("paths_data") or {}
        entries = paths_data.get("paths")
        try:
            if entries is None:  # very old records
                return tuple(PathsEntry(_inside(path), "hardlink") for path in raw_files)
            resolve = _resolver(self.noarch, raw_files)
            return tuple(
                PathsEntry(
                    path=_inside(resolve(entry["_path"])),
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
            raise BrokenRecord(f"{self.source}: the list of paths cannot be used ({error}).") from None


def _plain(raw: Mapping[str, Any], key: str, default: str = "") -> str:
    """A field that becomes part of file names and URLs, and so must be nothing else."""
    value = raw.get(key) or default or raw[key]
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise ValueError(f"{key} is {value!r}")
    return value


def _inside(path: str) -> str:
    """The path of a record, which must not leave the prefix."""
    if not path or path[0] == "/" or "\0" in path or (".." in path and ".." in path.split("/")):
        raise ValueError(f"path {path!r} leads out of the environment")
    return path


def _requested(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """conda writes requested_spec and requested_specs, for dependencies _requested_specs; rattler the list."""
    specs = raw.get("requested_specs") or ([raw["requested_spec"]] if raw.get("requested_spec") else [])
    return tuple(str(spec) for spec in specs if spec and spec != "None")


def _resolver(noarch: str, files: list[str]) -> Any:
    """Maps ``site-packages/x`` to where a noarch Python package's file really lies, learnt from ``files``."""
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
            return "bin/" + path.removeprefix("python-scripts/")
        return path

    return resolve
