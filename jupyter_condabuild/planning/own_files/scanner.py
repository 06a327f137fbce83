"""Scanner: searches the files of an image that belong to no package for secrets, and remembers those without any."""

from __future__ import annotations

import hashlib
import json
import marshal
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.files import open_regular
from jupyter_condabuild.oci.layout import Store

VERSION = 2
"""Changes with every change of `secret_detector`: files that an earlier version found clean are searched again."""

LARGEST = 1 << 20
"""The number of bytes of a file that are searched."""

LARGEST_NOTEBOOK = 32 << 20
"""The same for a notebook: its outputs may contain large images before a text."""

SECONDS = 30.0
"""The time after which the remaining files are not searched."""

_BINARY = (
    *(".so", ".a", ".o", ".pyc", ".pyd", ".png", ".jpg", ".jpeg", ".gif", ".ico", ".pdf", ".ttf", ".woff", ".woff2"),
    *(".gz", ".bz2", ".xz", ".zst", ".zip", ".whl", ".conda", ".npy", ".npz", ".h5", ".parquet", ".pt", ".safetensors"),
    *(".mo", ".jar", ".exe", ".mp4", ".wasm", ".tif", ".tiff"),
)
_REMEMBERED = 4000


@dataclass(frozen=True, order=True)
class Finding:
    """A secret in a file: the path of the file on this machine, the line, counted from 1, and the kind of the secret.

    It does not contain the secret.
    """

    path: Path
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} ({self.kind})"


class Scanner:
    """Searches groups of files. A group in which nothing changed since a search without findings is not read again.

    `unsearched` is the number of files that were not searched, because the time was over.
    """

    def __init__(self, store: Store, subject: str) -> None:
        """Args: subject: identifies the environment or the folder whose groups the store remembers."""
        self._store = store
        self._name = f"searched-{hashlib.sha256(os.fsencode(subject)).hexdigest()}"
        self._before = _read(store.memory(self._name))
        self._clean: list[str] = []
        self._end = time.monotonic() + SECONDS
        self.unsearched = 0

    def search(self, root: Path, names: Sequence[str], *, scrubbed: bool = False) -> list[Finding]:
        """Returns the secrets in the files of a group.

        Args:
            root: the folder of the group.
            names: paths relative to `root`. Links, and files that do not exist or cannot be read, have no findings.
            scrubbed: whether the image gets files of logins (.condarc and pip.conf) without the logins.
        """
        rows, files, base = [], [], os.fspath(root)
        for name in sorted(names):
            if name.endswith(_BINARY):
                continue
            try:
                status = os.lstat(f"{base}/{name}")
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_size:
                rows.append((name, status.st_size, status.st_mtime_ns, status.st_ino))
                files.append(name)
        state = hashlib.sha256(marshal.dumps((str(root), scrubbed, VERSION, rows), 2)).hexdigest()
        if state in self._before:
            self._clean.append(state)
            return []
        found: list[Finding] = []
        for number, name in enumerate(files):
            if time.monotonic() > self._end:
                self.unsearched += len(files) - number
                return found
            found += _search(root, name, scrubbed=scrubbed)
        if not found:
            self._clean.append(state)
        return found

    def remember(self) -> None:
        """Stores the groups without findings for the next build."""
        if set(self._clean) != self._before:
            self._store.keep(self._name, json.dumps(self._clean[:_REMEMBERED]).encode())


def _read(memory: bytes) -> set[str]:
    try:
        value = json.loads(memory)
    except ValueError:
        return set()
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()


def _search(root: Path, name: str, *, scrubbed: bool) -> list[Finding]:
    is_login = scrubbed and os.path.basename(name) in (".condarc", "pip.conf", "direct_url.json")
    try:
        descriptor = open_regular(f"{root}/{name}")
        with open(descriptor, "rb", buffering=0) as file:
            data = file.read(LARGEST_NOTEBOOK if name.endswith(".ipynb") else LARGEST) or b""
    except OSError:
        return []  # the layer's writer reports a file that cannot be read
    from jupyter_condabuild.planning.own_files import secret_detector  # takes 20 ms, and most builds read no file

    found = secret_detector.find(data, name, scrubbed=is_login)
    return [Finding(root / name, line, kind) for line, kind in found]
