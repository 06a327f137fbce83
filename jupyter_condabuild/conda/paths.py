"""The paths that packages and lock files may name: relative, and never outside of the folder that they belong to."""

from __future__ import annotations

import os
import posixpath
import re

WINDOWS_SITE_PACKAGES = "Lib/site-packages"
"""The site-packages folder of a Python on Windows, relative to the prefix."""

LONGEST_PATH = 2048
"""The maximum length of a path in bytes. Staging folders come before it, and Linux allows 4096 in total."""

_LONGEST_NAME = 255
_MOST_FOLDERS = 120  # Python's functions for folders call themselves for each of them, up to 1000 times
_IMPOSSIBLE = re.compile(r"[\x00\ud800-\udc7f\udd00-\udfff]")  # \udc80-\udcff are bytes that are not UTF-8
_SITE_PACKAGES = re.compile(r"lib/(?:python|pypy)3\.\d{1,3}t?/site-packages", re.ASCII)


def path_fault(path: object) -> str:
    """Returns why a value cannot be a path below a folder, as a clause; empty if it can be one.

    A backslash and control characters are ordinary in names on Linux, but ``..`` beside a backslash is refused, too.
    """
    if not isinstance(path, str) or not path:
        return "it is not a path"
    if path[0] == "/":
        return "it is absolute"
    if _IMPOSSIBLE.search(path):
        return "it has characters that no path has"
    if len(path) > _LONGEST_NAME:
        if path.count("/") > _MOST_FOLDERS:
            return "it has too many folders"
        raw = os.fsencode(path)
        if len(raw) > LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in raw.split(b"/")):
            return "it is too long"
    if ".." in path and ".." in re.split(r"[/\\]", path):
        return "it leads out of its folder"
    if "/." in path or "//" in path or path[0] == "." or path[-1] == "/":
        names = path.split("/")
        if "" in names or "." in names:
            return "it is not in its shortest form"
    return ""


def link_fault(path: str, target: str) -> str:
    """Returns why a package may not bring a symbolic link, as a clause; empty if it may.

    An absolute target is allowed: it names a file of the base image. conda-build allows it for the same reason
    (``conda_build.post.check_symlinks``). Nothing in a build follows the link.

    Args:
        path: the link, relative to the prefix.
    """
    if not target or _IMPOSSIBLE.search(target) or len(os.fsencode(target)) > LONGEST_PATH:
        return "its target is not a path"
    if target[0] != "/" and posixpath.normpath(posixpath.join(posixpath.dirname(path), target)).split("/")[0] == "..":
        return "its target is outside of the environment"
    return ""


def is_site_packages(path: str) -> bool:
    """Whether a path is a site-packages folder of a Python 3, relative to the prefix.

    Source: CEP 17 (python_site_packages_path) and sysconfig's scheme ``posix_prefix``. ``t`` is free-threaded Python.
    conda-forge's packages of PyPy have the folder ``lib/pypy3.9/site-packages``.
    """
    return bool(_SITE_PACKAGES.fullmatch(path))
