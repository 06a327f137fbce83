"""The import hook: a module in site-packages that puts folders from outside of an environment on Python's search path.

In the image, Python finds the modules in the same order as on the user's machine: first those of PYTHONPATH, then those
of the user's site-packages before those of the environment, and last those of ``.pth`` files.
"""

from __future__ import annotations

from collections.abc import Iterator

from jupyter_condabuild.image.paths import PREFIX_IN_LAYER
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.planning.own_files.outside_files import OutsideFiles

_NAME = "_condabuild_outside"

_MODULE = '''\
"""Adds the folders that were outside of the environment to sys.path, in the order that they had there."""

import os
import site
import sys

FIRST = {first!r}
USER = {user!r}
LAST = {last!r}


def _add():
    here = os.path.dirname(os.path.abspath(__file__))
    before = list(sys.path)
    for folder in USER:
        site.addsitedir(folder)  # the .pth files in it count, too
    added = [entry for entry in sys.path if entry not in before]
    rest = [entry for entry in sys.path if entry in before and entry not in FIRST]
    at = rest.index(here) if here in rest else len(rest)
    last = [folder for folder in LAST if folder not in rest and folder not in added]
    sys.path[:] = FIRST + rest[:at] + added + rest[at:] + last


_add()
'''


def import_hook(outside: OutsideFiles, site_packages: str) -> Iterator[Entry]:
    """Yields the entries of the hook; none if no folder has to be added.

    Args:
        site_packages: the site-packages folder, relative to the prefix.
    """
    folders = {
        kind: [item.target for item in outside.taken if item.place.kind == kind]
        for kind in ("pythonpath", "user-site", "pth")
    }
    if not any(folders.values()):
        return
    text = _MODULE.format(first=folders["pythonpath"], user=folders["user-site"], last=folders["pth"])
    folder = f"{PREFIX_IN_LAYER}/{site_packages}"
    yield Entry(f"{folder}/{_NAME}.py", data=text.encode())
    yield Entry(f"{folder}/{_NAME}.pth", data=f"import {_NAME}\n".encode())
