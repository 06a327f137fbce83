"""Substitution: what each package of an environment becomes on another platform, and why. It is data and a table."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jupyter_condabuild.conda.cross.levels import TRIED, Level
from jupyter_condabuild.conda.cross.reasons import UNNEEDED

_COUNTS = {
    Level.BUILD: "the same build",
    Level.VERSION: "the same version in another build",
    Level.MINOR: "another patch version",
    Level.REQUESTED: "another version (needs your look)",
    Level.LEFT_OUT: "left out",
    Level.MISSING: "not available",
    Level.ADDED: "added",
}


@dataclass(frozen=True)
class Row:
    """One package. `here` and `there` are its version and build, ``-`` between them; empty where it is not."""

    name: str
    here: str
    there: str
    level: Level
    why: str = ""
    manager: str = "conda"


@dataclass(frozen=True)
class Substitution:
    """The rows of one platform, sorted by name. `source` is the platform of the environment."""

    source: str
    platform: str
    glibc: str
    cuda: str
    rows: tuple[Row, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The number of packages at each level."""
        found = Counter(row.level for row in self.rows)
        return {str(level): found[level] for level in Level}

    def above(self, level: str) -> list[Row]:
        """Returns the packages whose versions are further from the environment's than a level allows."""
        allowed = TRIED[: TRIED.index(Level(level)) + 1]
        return [row for row in self.rows if row.level in TRIED and row.level not in allowed]

    @property
    def sentence(self) -> str:
        """The counts in one sentence."""
        counts = self.counts
        here = sum(1 for row in self.rows if row.here)
        parts = [f"{counts[level]} {words}" for level, words in _COUNTS.items() if counts[level]]
        return f"{self.source} to {self.platform}: of {here} packages, {', '.join(parts)}."

    def to_json(self) -> dict[str, Any]:
        """Returns the table as a JSON object."""
        return {
            "from": self.source,
            "platform": self.platform,
            "glibc": self.glibc,
            "cuda": self.cuda,
            "counts": self.counts,
            "packages": [asdict(row) for row in self.rows],
        }

    def text(self) -> str:
        """Returns the counts, a table of the packages that need a look, and the names of the others."""
        cuda = f", and a driver for CUDA {self.cuda}" if self.cuda else ""
        lines = [self.sentence, f"  The packages may count on glibc {self.glibc}{cuda}."]
        groups = {
            "The same version, another build": self._at(Level.VERSION),
            "Left out, because nothing needs them there": [row for row in self.rows if row.why.endswith(UNNEEDED)],
            "Added, because others need them there": self._at(Level.ADDED),
        }
        named = {row for rows in groups.values() for row in rows}
        order = (Level.REQUESTED, Level.MINOR, Level.LEFT_OUT)
        shown = [row for level in order for row in self._at(level) if row not in named]
        if shown:
            cells = [("package", self.source, self.platform, "why")]
            cells += [(row.name, row.here or "-", row.there or "-", row.why) for row in shown]
            lines += ["", *_aligned(cells)]
        texts = [f"{words}: {', '.join(row.name for row in rows)}." for words, rows in groups.items() if rows]
        return "\n".join([*lines, "", *(_wrapped(text) for text in texts)]) if texts else "\n".join(lines)

    def _at(self, level: Level) -> list[Row]:
        return [row for row in self.rows if row.level == level]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]) - 1)]
    return [
        "  " + "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in cells
    ]
