"""Reads the metadata files that Python's installers write for a distribution. Their content is untrusted."""

from __future__ import annotations

import ast
import configparser
import csv
import json
import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jupyter_condabuild.conda.packages import PYPI
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.files import open_regular

_MAX_BYTES = 1 << 24
_HEADER = re.compile(r"^(name|version)[ \t]*+:([^\r\n]*+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class InstallSource:
    """Where a distribution was installed from, as its metadata says.

    `url` contains no credentials. `sha256` is the hash of the archive (hexadecimal; empty if unknown). `folder` is the
    folder that a ``file:`` URL names. `from_index` is True if the installer recorded a package index as the source.
    """

    url: str = ""
    sha256: str = ""
    editable: bool = False
    folder: Path | None = None
    from_index: bool = False


def text_of(path: Path, *, follow: bool = False) -> str:
    """Returns the text of a file (the first 16 MiB; UTF-8 or UTF-16); empty if the file cannot be read.

    Args:
        follow: whether the file may be a symbolic link. uv can install METADATA as a link to its cache, but no file
            that it writes itself. A link in the place of such a file may lead to any file of the user.
    """
    try:
        with open(open_regular(path, follow=follow), "rb") as file:
            data = file.read(_MAX_BYTES)
    except OSError:
        return ""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def name_and_version(folder: Path, fallback: str) -> tuple[str, str]:
    """Returns the name and the version of a distribution.

    Args:
        folder: the ``.dist-info`` or ``.egg-info`` folder with METADATA or PKG-INFO, or an ``.egg-info`` file.
        fallback: a path that ends in ``name-version``, for a distribution without usable metadata.
    """
    stem_name, _, stem_version = posixpath.basename(fallback).partition("-")
    stem_version = re.sub(r"-py\d.*", "", stem_version)
    files = (folder / "METADATA", folder / "PKG-INFO", folder)
    text = next((text for file in files if (text := text_of(file, follow=True))), "")
    headers = dict[str, str]()
    for key, value in _HEADER.findall(re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]):
        if value.strip():
            headers.setdefault(key.lower(), value.strip())
    name = headers.get("name", "")
    version = headers.get("version", "")
    return (
        name if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII) else re.sub(r"[^\w.-]", "_", stem_name, flags=re.A),
        version
        if re.fullmatch(r"[\w.!+-]+", version, re.ASCII)
        else re.sub(r"[^\w.!+-]", "_", stem_version, flags=re.A),
    )


def listed_files(prefix: Path, site_packages: str, info: str) -> tuple[str, ...] | None:
    """Returns the files that RECORD or installed-files.txt lists; None if there is no such list.

    The result is relative to the prefix, without files outside of the prefix.

    Args:
        info: the metadata folder, relative to the prefix.
    """
    if text := text_of(prefix / info / "RECORD"):
        base = site_packages
        try:
            names = [row[0] for row in csv.reader(text.splitlines()) if row]
        except csv.Error:
            names = [line.rpartition(",")[0].rpartition(",")[0].strip('"') for line in text.splitlines()]
    elif text := text_of(prefix / info / "installed-files.txt"):
        base, names = info, text.splitlines()
    else:
        return None
    root = posixpath.normpath(str(prefix)).rstrip("/") + "/"
    paths = (_within(root, base, name) for name in names)
    return tuple(sorted({path for path in paths if path}))


def _within(root: str, base: str, name: str) -> str:
    """Returns a listed name as a path relative to the prefix; empty if the name leads out of the prefix.

    Args:
        root: the path of the prefix, with a ``/`` at the end.
        base: the folder that the name is relative to, relative to the prefix.
    """
    if not name or "\0" in name:
        return ""
    if name[0] not in "./" and "/." not in name and "//" not in name:
        return f"{base}/{name}"
    path = posixpath.normpath(posixpath.join(root, base, name))
    return path.removeprefix(root) if path.startswith(root) else ""


def files_below(prefix: Path, folder: str) -> tuple[str, ...]:
    """Returns all files below a folder, or the file itself if `folder` is a file; relative to the prefix."""
    if not (prefix / folder).is_dir():
        return (folder,)
    return tuple(
        sorted(
            os.path.relpath(os.path.join(parent, name), prefix)
            for parent, _, names in os.walk(prefix / folder)
            for name in names
        )
    )


def origin(folder: Path) -> InstallSource:
    """Reads direct_url.json (packaging.python.org/specifications/direct-url) or provenance_url.json (PEP 710)."""
    if direct := _json_object(folder / "direct_url.json"):
        return _direct(direct)
    if provenance := _json_object(folder / "provenance_url.json"):
        url = _url(provenance.get("url"))
        return InstallSource(url, _sha256_of(provenance.get("archive_info")), from_index=True)
    return InstallSource()


def _direct(direct: dict[str, Any]) -> InstallSource:
    url = _url(direct.get("url"))
    directory, vcs = direct.get("dir_info"), direct.get("vcs_info")
    folder = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
    subdirectory = str(direct.get("subdirectory") or "")
    if isinstance(vcs, dict):
        url = f"{vcs.get('vcs') or 'git'}+{url}"
        if commit := vcs.get("commit_id"):
            url += f"@{commit}"
    if subdirectory:
        url += f"#subdirectory={subdirectory}"
    editable = isinstance(directory, dict) and directory.get("editable") is True
    return InstallSource(url, _sha256_of(direct.get("archive_info")), editable, folder)


def _url(value: Any) -> str:
    """Returns a URL without a login; empty if it is not valid."""
    url = scrub_url(str(value or ""))
    try:
        urlsplit(url)
    except ValueError:
        return ""
    return url


def _sha256_of(archive_info: Any) -> str:
    if not isinstance(archive_info, dict):
        return ""
    hashes = archive_info.get("hashes")
    digest = hashes.get("sha256") if isinstance(hashes, dict) else None
    digest = digest or str(archive_info.get("hash") or "").removeprefix("sha256=")
    return digest.lower() if isinstance(digest, str) and re.fullmatch(r"[0-9a-fA-F]{64}", digest) else ""


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text_of(path) or "null")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def editable_source(prefix: Path, files: tuple[str, ...]) -> Path | None:
    """Returns the folder that setuptools' ``__editable__`` files name; None if there is none.

    Some installers write these files, but no direct_url.json.
    """
    for path in files:
        name = posixpath.basename(path)
        if not name.startswith("__editable__") or not name.endswith((".pth", "_finder.py")):
            continue
        text = text_of(prefix / path)
        if name.endswith(".pth"):
            folders = [line for line in text.splitlines() if line.startswith("/")]
        else:
            mapping = re.search(r"^MAPPING\b[^=\n]*+= *+(\{[^}]*+\})", text, re.MULTILINE | re.DOTALL)
            try:
                places = ast.literal_eval(mapping[1]).values() if mapping else ()
            except (ValueError, SyntaxError, AttributeError, RecursionError, MemoryError):
                places = ()
            folders = [os.path.dirname(str(place)) for place in places if str(place).startswith("/")]
        if folders:
            return Path(folders[0])
    return None


def egg_link_source(path: Path) -> Path:
    """Returns the folder that the ``.egg-link`` file of a setuptools develop install names."""
    first = (text_of(path).splitlines() or [""])[0].strip()
    return Path(os.path.normpath(os.path.join(path.parent, first)))


def egg_info_in(source: Path) -> Path:
    """Returns the ``.egg-info`` of a source folder, or a path that does not exist if there is none."""
    return next(iter(sorted(source.glob("*.egg-info"))), source / "missing.egg-info")


def index_of(prefix: Path) -> str:
    """Returns the package index that the environment's own pip.conf names, else `PYPI`.

    The configuration of a user or a machine does not count: it does not show where a package came from, and with it
    two users would get different lock files for the same environment.
    """
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text_of(prefix / "pip.conf") or text_of(prefix / "pip.ini"))  # pip.ini is Windows' name
    except configparser.Error:
        return PYPI
    url = _url(parser.get("global", "index-url", fallback="")).strip().rstrip("/")
    return PYPI if not url or urlsplit(url).hostname == "pypi.org" else url
