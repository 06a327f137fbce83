"""The lock files of snapshots. The server keeps each under its digest."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Format
from jupyter_condabuild.errors import BadRequest, NotThere, from_os_error
from jupyter_condabuild.files import PRIVATE, private_folder, write_whole

MAX_FILES = 500
"""The number of lock files that the server keeps: the most recently used."""

FILE_NAMES: dict[Format, str] = {
    "conda-lock": "conda-lock.yml",
    "explicit": "explicit.txt",
    "pixi": "pixi.lock",
    "environment": "environment.yml",
}
"""The file name that tools expect for each format."""


class Lockfiles:
    """A folder of lock files. Several servers may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, digest: str, lock: Mapping[str, Any]) -> None:
        """Keeps a lock file. Raises StoreError.

        Args:
            lock: `text` is the lock file in conda-lock's format. `name` and `channels` are for the other formats.
        """
        path = self._path(digest)
        try:
            for folder in (self._folder.parent, self._folder):
                private_folder(folder, "writing the lock file")
            metadata = {name: lock[name] for name in lock if name != "text"}
            write_whole(path.with_suffix(".json"), json.dumps(metadata), "writing the lock file", mode=PRIVATE)
            write_whole(path, lock["text"], "writing the lock file", mode=PRIVATE)
            self._tidy()
        except OSError as error:
            raise from_os_error(error, "writing the lock file", path) from None

    def path(self, digest: str) -> Path:
        """Returns the path of the lock file in conda-lock's format. Raises NotThere."""
        path = self._path(digest)
        if not path.is_file():
            raise NotThere(
                f"This server has no lock file {digest[:100]!r}.",
                "Take a snapshot of the environment, and use the digest of the snapshot.",
            )
        with suppress(OSError):
            os.utime(path)
        return path

    def text(self, digest: str, format: str) -> str:
        """Returns the text of the lock file in a format. Raises NotThere and BadRequest."""
        if format not in get_args(Format):
            raise BadRequest(
                f"There is no lock file format {format[:100]!r}.", f"The formats are: {', '.join(get_args(Format))}."
            )
        path = self.path(digest)
        metadata: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            metadata = json.loads(path.with_suffix(".json").read_text())
        name, channels = metadata.get("name", ""), metadata.get("channels", ())
        return dump(load(path, check=False), format, name=name, channels=channels)  # type: ignore[arg-type]

    def _path(self, digest: str) -> Path:
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise NotThere(
                f"{digest[:100]!r} is not the digest of a lock file.",
                "A digest is sha256: and 64 hexadecimal digits.",
            )
        return self._folder / f"{digest.removeprefix('sha256:')}.yml"

    def _tidy(self) -> None:
        times: dict[Path, float] = {}
        for path in self._folder.glob("*.yml"):
            with suppress(FileNotFoundError):  # another request removed it
                times[path] = path.stat().st_mtime
        for path in sorted(times, key=lambda path: times[path], reverse=True)[MAX_FILES:]:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
