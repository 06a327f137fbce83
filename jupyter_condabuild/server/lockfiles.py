"""The lock files of the environments that snapshots were taken of, kept by their digest."""

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
from jupyter_condabuild.files import write_whole

MOST = 500
"""Lock files that are kept: those used last."""

FILE_NAMES: dict[Format, str] = {
    "conda-lock": "conda-lock.yml",
    "explicit": "explicit.txt",
    "pixi": "pixi.lock",
    "environment": "environment.yml",
}
"""What tools expect each format to be called."""


class Lockfiles:
    """A folder of lock files; safe for several servers at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, digest: str, lock: Mapping[str, Any]) -> None:
        """Keeps a lock file: `text` in conda-lock's format, and `name` and `channels` for the others."""
        path = self._path(digest)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            more = {name: lock[name] for name in lock if name != "text"}
            write_whole(path.with_suffix(".json"), json.dumps(more), "keeping the lock file", mode=0o600)
            write_whole(path, lock["text"], "keeping the lock file", mode=0o600)
            self._tidy()
        except OSError as error:
            raise from_os_error(error, "keeping the lock file", path) from None

    def path(self, digest: str) -> Path:
        """The file, in conda-lock's format; raises NotThere."""
        path = self._path(digest)
        if not path.is_file():
            raise NotThere(
                f"There is no lock file {digest[:100]!r} here.",
                "Take a snapshot of the environment, and use its digest.",
            )
        with suppress(OSError):
            os.utime(path)
        return path

    def text(self, digest: str, format: str) -> str:
        """The lock file in a format; raises NotThere and BadRequest."""
        if format not in get_args(Format):
            raise BadRequest(f"There is no format {format[:100]!r}.", f"Formats are: {', '.join(get_args(Format))}.")
        path = self.path(digest)
        more: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            more = json.loads(path.with_suffix(".json").read_text())
        name, channels = more.get("name", ""), more.get("channels", ())
        return dump(load(path), format, name=name, channels=channels)  # type: ignore[arg-type]

    def _path(self, digest: str) -> Path:
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise NotThere(f"{digest[:100]!r} is not the digest of a lock file.", "It reads sha256: and 64 digits.")
        return self._folder / f"{digest.removeprefix('sha256:')}.yml"

    def _tidy(self) -> None:
        files = sorted(self._folder.glob("*.yml"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[MOST:]:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
