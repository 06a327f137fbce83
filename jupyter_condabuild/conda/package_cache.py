"""The package caches of this machine: finds the extracted folder or the archive of a package, and proves it by a hash.

conda keeps the archive beside the folder, and writes its hash to ``<pkgs>/<dist>/info/repodata_record.json``. rattler
writes ``<pkgs>/<dist>.lock``: eight bytes of revision, then the sha256 of the archive (rattler_cache::package_cache). A
file with the same name from another channel is another package, so the name alone proves nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.paths import path_fault
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.files import home_folder, read_regular
from jupyter_condabuild.system import owners
from jupyter_condabuild.system.folders import caches
from jupyter_condabuild.system.owners import others_can_write, others_can_write_into

MOST_METADATA = 256 << 20
"""The maximum size in bytes of a file below info/ that is read at all; the largest known ones have 60 MB."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Cached:
    """The location of a package: an extracted folder (`extracted` is True) or an archive."""

    path: Path
    extracted: bool

    @property
    def complete(self) -> bool:
        """Whether an extracted folder has its metadata and all its files. An archive is always complete."""
        if not self.extracted:
            return True
        paths = _read(self.path / "info/paths.json").get("paths")
        if not isinstance(paths, list) or not _read(self.path / "info/index.json"):
            return False
        names = [str(entry.get("_path")) for entry in paths if isinstance(entry, dict)]
        return all(not path_fault(name) and os.path.lexists(self.path / name) for name in names)


def default_folders(
    prefix: Path | None = None, environ: Mapping[str, str] = os.environ, system: str = sys.platform
) -> tuple[Path, ...]:
    """Returns the existing package caches that conda, mamba, pixi and rattler use for this user and this prefix.

    Args:
        system: the value of `sys.platform` on the system of the caches.
    """
    home = home_folder(environ)
    candidates = [Path(text) for text in environ.get("CONDA_PKGS_DIRS", "").split(",") if text]
    candidates += _condarc_folders([home / ".condarc", home / ".config/conda/condarc"])
    if prefix:
        candidates += [prefix / "pkgs", prefix.parent.parent / "pkgs"]
    for root in ("CONDA_ROOT", "MAMBA_ROOT_PREFIX"):
        if environ.get(root):
            candidates.append(Path(environ[root]) / "pkgs")
    if environ.get("CONDA_EXE"):
        candidates.append(Path(environ["CONDA_EXE"]).parent.parent / "pkgs")
    for variable in ("PIXI_CACHE_DIR", "RATTLER_CACHE_DIR"):
        if environ.get(variable):
            candidates.append(Path(environ[variable]) / "pkgs")
    candidates.append(caches(home, environ, system) / "rattler/cache/pkgs")
    candidates += [home / ".conda/pkgs", home / ".mamba/pkgs"]
    if system == "win32":  # conda.base.context.user_data_dir
        candidates.append(caches(home, environ, system) / "conda/conda/pkgs")
    return tuple(dict.fromkeys(folder for folder in candidates if os.path.isdir(folder)))


def _condarc_folders(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        try:
            text = file.read_text()
        except (OSError, ValueError):
            continue
        if "pkgs_dirs" not in text:
            continue
        import yaml  # takes 20 ms, and most users have no such setting

        try:
            value = yaml.safe_load(text)
        except (ValueError, yaml.YAMLError, RecursionError):
            continue
        folders = value.get("pkgs_dirs") if isinstance(value, dict) else None
        for folder in [folders] if isinstance(folders, str) else folders if isinstance(folders, list) else []:
            yield Path(os.path.expandvars(os.path.expanduser(str(folder))))


class PackageCaches:
    """Several package cache folders, which are searched in order and never written.

    In a folder that other users can write, only archives count: the hash of the lock file proves them. The note beside
    an extracted package proves nothing there, because who can change a file can change the note.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(folders)
        self._shared: dict[Path, bool] = {}

    def find(self, package: CondaPackage, *, extracted: bool = True) -> Cached | None:
        """Returns the extracted folder or the archive of a package; None if no cache provably has it.

        Args:
            extracted: False to search for archives only. One hash verifies a complete archive, but a folder can only be
                verified file by file.
        """
        stem = package.fn.removesuffix(".conda").removesuffix(".tar.bz2")
        if extracted:
            for folder in self.folders:
                place = folder / stem
                if (
                    _is_extracted(place, package)
                    and _keeps_modes(place)
                    and _keeps_names(place)
                    and self._is_own(folder, place)
                ):
                    return Cached(folder / stem, True)
        for folder in self.folders:
            archive = folder / package.fn
            if os.path.isfile(archive) and _is_archive(archive, package):
                return Cached(archive, False)
        return None

    def seems_to_have(self, package: CondaPackage) -> bool:
        """Whether a package cache seems to have a package: for a forecast, since no archive is read."""
        stem = package.fn.removesuffix(".conda").removesuffix(".tar.bz2")
        for folder in self.folders:
            with suppress(OSError):
                if _is_extracted(folder / stem, package) or package.size == (folder / package.fn).stat().st_size:
                    return True
        return False

    def recorded_hash(self, package: CondaPackage) -> str:
        """Returns the sha256 of the archive that a package cache has from the URL of a package; empty if none has it.

        It proves nothing of the archive that the channel has now.
        """
        stem = package.fn.removesuffix(".conda").removesuffix(".tar.bz2")
        for folder in self.folders:
            record = _read(folder / stem / "info/repodata_record.json")
            sha256 = record.get("sha256")
            if (
                re.fullmatch(r"[0-9a-f]{64}", str(sha256))
                and scrub_url(str(record.get("url"))) == package.url
                and self._is_own(folder, folder / stem)
            ):
                return str(sha256)
        return ""

    def _is_own(self, folder: Path, extracted: Path) -> bool:
        """Whether only this user can change an extracted package in a package cache."""
        if folder not in self._shared:
            self._shared[folder] = others_can_write(folder)
        return not self._shared[folder] and not others_can_write_into(extracted)

    def index(self, package: CondaPackage) -> Mapping[str, Any]:
        """Returns repodata_record.json or index.json of the extracted package; empty if no cache has it."""
        cached = self.find(package)
        if cached and cached.extracted:
            return _read(cached.path / "info/repodata_record.json") or _read(cached.path / "info/index.json")
        return {}


def _keeps_modes(extracted: Path) -> bool:
    """Whether the file system of an extracted package keeps x bits. Where it does not, only the archive has them.

    Such a file system gives an x bit to every file, as NTFS does on Linux, or to none.
    """
    if not owners.HAS_OWNERS:
        return False
    for name in ("index.json", "paths.json", "files", "about.json"):
        with suppress(OSError):
            if not os.stat(extracted / "info" / name).st_mode & 0o111:
                return True
    return False


def _keeps_names(extracted: Path) -> bool:
    """Whether each path of an extracted package has a file of its own, also where `A` and `a` are one name."""
    if not os.path.lexists(extracted / "INFO"):
        return True
    import unicodedata  # only such a file system needs it

    paths = _read(extracted / "info/paths.json").get("paths")
    if not isinstance(paths, list):
        return False
    names = [
        unicodedata.normalize("NFC", str(entry.get("_path")).casefold()) for entry in paths if isinstance(entry, dict)
    ]
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return len(set(names)) == len(names) and folders.isdisjoint(names)


def _is_extracted(folder: Path, package: CondaPackage) -> bool:
    """Whether a folder provably contains the extracted package."""
    if not os.path.isfile(folder / "info/index.json"):
        return False
    record = _read(folder / "info/repodata_record.json")
    if record.get("sha256") and package.sha256:
        return bool(record["sha256"] == package.sha256)
    if record.get("md5") and package.md5:
        return bool(record["md5"] == package.md5)
    try:
        lock = folder.with_name(folder.name + ".lock").read_bytes()
    except OSError:
        return False
    return len(lock) == 40 and lock[8:].hex() == package.sha256


def _is_archive(archive: Path, package: CondaPackage) -> bool:
    if package.size is not None and archive.stat().st_size != package.size:
        return False
    algorithm, expected = ("sha256", package.sha256) if package.sha256 else ("md5", package.md5)
    try:
        return bool(expected) and hash_file(archive, algorithm) == expected
    except OSError:
        return False


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Returns the hexadecimal digest of a file. Reads the file in chunks."""
    content = hashlib.new(algorithm)
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            content.update(chunk)
    return content.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_regular(path, MOST_METADATA))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
