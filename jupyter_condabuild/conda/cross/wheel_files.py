"""Lays the files of a wheel out as an installer would. Nothing of the wheel is run, and nothing is compiled."""

from __future__ import annotations

import hashlib
import os
import posixpath
import warnings
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zipfile import ZipFile

from jupyter_condabuild.conda.linking.disk_places import LaidOut
from jupyter_condabuild.conda.logins import open_url
from jupyter_condabuild.conda.packages import PipPackage
from jupyter_condabuild.errors import PackageMismatch, PackageNotFound, UnsafePackage, from_os_error

_SECONDS = 60
_CHUNK = 1 << 20
_RATIO, _ALWAYS = 100, 256 << 20
"""A wheel may unpack to this multiple of its size, and to this number of bytes in any case."""


def install(package: PipPackage, prefix: LaidOut, work: Path, site_packages: str, python: str) -> tuple[str, ...]:
    """Downloads the wheel of a package, and lays its files out for a prefix. Returns their paths, sorted.

    A file that another wheel has brought to the same path is replaced, as pip does.

    Args:
        prefix: the files of the image's prefix.
        work: a folder for the wheel and its files before all of them are checked.
        site_packages: the site-packages folder, relative to the prefix.
        python: the interpreter that scripts name.

    Raises PackageNotFound, PackageMismatch if the wheel does not have its hash, UnsafePackage for a wheel that names
    files outside of its folders or that is none, or the error of a full disk.
    """
    staged = LaidOut(work / package.name)
    archive = _fetched(package, work / "archives")
    headers = f"include/{package.name.replace('-', '_')}"
    try:
        _lay_out(archive, staged, site_packages, headers, python)
        for path, file in staged.files.items():
            os.replace(file, prefix.place(path, executable=path in staged.executables))
        archive.unlink()
    except UnsafePackage:
        raise
    except Exception as error:  # noqa: BLE001  installer and zipfile raise many types for what is no wheel
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            raise from_os_error(error, f"unpacking {archive.name}", work) from None
        raise UnsafePackage(
            f"The wheel {archive.name} cannot be unpacked: {error.args[-1] if error.args else error}."
        ) from None
    return tuple(sorted(staged.files))


def _lay_out(archive: Path, staged: LaidOut, site_packages: str, headers: str, python: str) -> None:
    from installer import install as lay_out
    from installer.sources import WheelFile

    from jupyter_condabuild.conda.cross.wheel_destination import WheelDestination

    with ZipFile(archive) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bytecode in the wheel, which is left out
        if sum(item.file_size for item in opened.infolist()) > max(_ALWAYS, _RATIO * archive.stat().st_size):
            raise UnsafePackage(f"The wheel {archive.name} unpacks to far more than its size.")
        destination = WheelDestination(staged, site_packages, headers, python)
        lay_out(WheelFile(opened), destination, {"INSTALLER": b"jupyter-condabuild\n"})


def _fetched(package: PipPackage, folder: Path) -> Path:
    """Downloads the wheel of a package, and checks its hash."""
    folder.mkdir(parents=True, exist_ok=True)
    name = posixpath.basename(unquote(urlsplit(package.url).path))
    path, digest = folder / name, hashlib.sha256()
    try:
        with open_url(package.url, _SECONDS) as response, path.open("wb") as file:
            while chunk := response.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except (OSError, ValueError, HTTPException) as error:
        raise PackageNotFound(
            f"The wheel {name} cannot be downloaded: {error}.", "Check that this machine can reach the package index."
        ) from None
    if digest.hexdigest() != package.sha256:
        raise PackageMismatch(
            f"The wheel {name} does not have the hash that the package index tells.",
            "Try again. If the error remains, the package index is damaged or not honest.",
        )
    return path
