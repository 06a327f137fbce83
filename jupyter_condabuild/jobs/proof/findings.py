"""The findings of a verification: what is proved, what nothing proves, and what differs."""

from __future__ import annotations

from dataclasses import dataclass, field

from jupyter_condabuild.jobs.proof.verdict import OwnFiles
from jupyter_condabuild.text import printable


@dataclass
class Findings:
    """Three lists of the parts of an image.

    `proved` has the packages, files and other parts that were made again and are the same. `unproved` has the parts
    that nothing can be compared with, and `differs` has the parts that are another; both say why. `own` are the files
    that no package brings, and `other` is the number of unproved parts without such files.
    """

    proved: list[str] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    own: OwnFiles = field(default_factory=OwnFiles)
    other: int = 0

    def is_same(self, *names: str) -> None:
        """Adds parts that were made again and are the same."""
        self.proved += [printable(name) for name in names]

    def has_no_proof(self, part: str, reason: str = "", *, own: bool = False) -> None:
        """Adds a part that nothing can be compared with.

        Args:
            own: whether the part consists of files in `own`.
        """
        self.unproved.append(_line(part, reason))
        self.other += not own

    def is_another(self, part: str, reason: str = "") -> None:
        """Adds a part that differs."""
        self.differs.append(_line(part, reason))


def _line(part: str, reason: str) -> str:
    return f"{printable(part)}: {printable(reason, 600)}" if reason else printable(part)
