"""Checks of the option that leaves files out: --exclude."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.text import printable


def check_patterns(patterns: Sequence[str]) -> None:
    """Raises UsageError for a text of --exclude that .gitignore does not accept as a pattern, such as an empty text."""
    if not patterns:
        return
    from pathspec import GitIgnoreSpec

    for pattern in patterns:
        try:
            made = GitIgnoreSpec.from_lines([pattern]).patterns
        except ValueError:
            made = []
        if not any(item.include is not None for item in made):
            raise UsageError(
                f"--exclude has no valid pattern: {printable(repr(pattern), 200)}.",
                "Write it as in .gitignore: data.bin, *.csv, share/models/. A name with # at its start is \\#name.",
            )
