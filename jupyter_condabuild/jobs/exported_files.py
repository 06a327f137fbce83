"""Exported files: their texts, which of them would replace a file with another content, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_condabuild.errors import OUTSIDE, from_os_error
from jupyter_condabuild.events import Warning
from jupyter_condabuild.files import write_whole


@dataclass(frozen=True)
class Exported:
    """The exported files: the text of each file by its path, relative to the repository.

    `executable` has the paths of programs. `next` says what the user does next.
    """

    files: Mapping[str, str] = field(hash=False)
    executable: frozenset[str] = frozenset()
    next: str = ""
    warnings: tuple[Warning, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Returns the files with their texts as a JSON object."""
        files = [
            {"path": path, "text": text, "executable": path in self.executable} for path, text in self.files.items()
        ]
        return {"files": files, "next": self.next, "warnings": [warning.to_json() for warning in self.warnings]}


def replaced(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Returns the paths whose files exist with another content."""
    return [name for name, text in files.items() if (folder / name).exists() and _text(folder / name) != text]


def write_files(folder: Path, files: Mapping[str, str], executable: Set[str]) -> list[Path]:
    """Writes all files, with the folders that they need, and returns their paths. Raises StoreError.

    Args:
        files: the text of each file by its path in the folder.
        executable: the paths of programs.
    """
    for name, text in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, "writing the files", path, hint=OUTSIDE) from None
        write_whole(path, text, "writing the files", mode=0o777 if name in executable else 0o666)
    return [folder / name for name in files]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
