"""Exclusion: what the user leaves out of an image with --exclude and --exclude-editable, and what is said of it.

A pattern leaves out what an environment has besides its packages. The image lacks an added file. It has a changed or
removed file of a conda package as the package brings it. Files of pip packages stay, except those in the folder of an
editable install.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.conda.packages import canonical_name
from jupyter_condabuild.conda.prefix.drift_report import DriftEntry
from jupyter_condabuild.events import Warning
from jupyter_condabuild.text import counted, listed, printable, size_text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

MOST_NAMED = 5
"""The number of paths that a warning names."""


class Exclusion:
    """The patterns of a request, as in .gitignore: the last pattern that matches a path decides.

    They are relative to the folder whose files are selected: the prefix, the folder of an editable install, and each
    folder outside of the environment whose files go into the image. An absolute path names a file in one such folder.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self.files: dict[Path, int] = {}
        self._used: set[int] = set()
        self._specs: dict[Path, GitIgnoreSpec] = {}

    def __call__(self, root: Path, name: str) -> bool:
        """Whether the user leaves out a file of the folder `root`. The name of a folder ends in a slash."""
        if not self.patterns:
            return False
        if root not in self._specs:
            from pathspec import GitIgnoreSpec

            self._specs[root] = GitIgnoreSpec.from_lines([_below(root, pattern) for pattern in self.patterns])
        spec = self._specs[root]
        for index, pattern in enumerate(spec.patterns):
            if index not in self._used and pattern.match_file(name):
                self._used.add(index)
        return bool(spec.check_file(name).include)

    def keep(self, root: Path, names: Sequence[str]) -> tuple[str, ...]:
        """Returns the names that stay, and counts the others, which belong to no package, as left out."""
        if not self.patterns:
            return tuple(names)
        kept = tuple(name for name in names if not self(root, name))
        for name in set(names).difference(kept):
            self.files[root / name] = _size(root / name)
        return kept

    def warnings(self, excluded: Sequence[DriftEntry]) -> Iterator[Warning]:
        """Yields what is left out, and which patterns match nothing.

        Args:
            excluded: the differences between the environment and its packages that are left out.
        """
        added = {entry.path: entry.size for entry in excluded if not entry.package}
        added |= {str(path): size for path, size in self.files.items()}
        if added:
            yield Warning(
                "excluded-files",
                f"As requested, the image does not have {counted(added, 'file')} ({size_text(sum(added.values()))}): "
                f"{listed(list(added), MOST_NAMED)}.",
                "The option --exclude leaves them out.",
            )
        if restored := [entry.path for entry in excluded if entry.package]:
            yield Warning(
                "excluded-changes",
                f"As requested, the image has {counted(restored, 'file')} as the packages bring them, not as the "
                f"environment has them: {listed(restored, MOST_NAMED)}.",
                "The options --exclude and --exclude-editable leave the changes out.",
            )
        for index, pattern in enumerate(self.patterns):
            if index not in self._used:
                yield Warning(
                    "exclude-without-effect",
                    f"--exclude {printable(pattern)} matches nothing that the environment has besides its packages.",
                    "Write a pattern as in .gitignore, relative to the folder of the environment or of an editable "
                    "install. Files of packages are never left out.",
                )


def editable_warnings(asked: Sequence[str], left_out: Sequence[str]) -> Iterator[Warning]:
    """Yields which editable installs are left out, and which names of --exclude-editable are no editable install.

    Args:
        left_out: the names of the editable installs that are left out.
    """
    if left_out:
        yield Warning(
            "excluded-editable",
            f"As requested, the image does not have {counted(left_out, 'editable install')}: {listed(left_out)}.",
            "The option --exclude-editable leaves them out. A package that imports them does not work in the image.",
        )
    known = set(map(canonical_name, left_out))
    if unknown := [printable(name) for name in asked if canonical_name(name) not in known]:
        yield Warning(
            "exclude-without-effect",
            f"--exclude-editable names what is no editable install of the environment: {listed(unknown)}.",
            "Remove the option. To leave out another package, uninstall it.",
        )


def _below(root: Path, pattern: str) -> str:
    """Returns a pattern that is relative to `root`. An absolute path below `root` is such a pattern already."""
    negated, text = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
    for folder in dict.fromkeys((str(root), os.path.realpath(root))):
        if text.startswith(f"{folder}/") and text != f"{folder}/":
            return f"{negated}/{text[len(folder) + 1 :]}"
    return pattern


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
