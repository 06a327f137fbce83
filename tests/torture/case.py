"""Case: one hostile input and the commands that get it; Place: the folders that a case works in and must not leave."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECRET = "canary-7f3a9c"
"""A text that lies in the user's files alone. No output, image, store or lock file may have it."""

_DOCKER_CONFIG = {"auths": {"registry.lab.org": {"auth": SECRET}}}


@dataclass(frozen=True)
class Place:
    """The folders of one case.

    `home` is the user's home folder, with files that nothing may read into an image or change. `work` is the current
    folder of the commands and the place of inputs, `out` is where they may write. A hostile program that runs makes
    the file `executed`.
    """

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Place:
        """Makes the folders and the user's files."""
        place = cls(folder)
        for path in (place.home / ".docker", place.home / ".ssh", place.work, place.out, place.temporary):
            path.mkdir(parents=True)
        (place.home / ".docker/config.json").write_text(json.dumps(_DOCKER_CONFIG))
        (place.home / ".ssh/id_ed25519").write_text(f"PRIVATE KEY {SECRET}\n")
        (place.home / "notes.txt").write_text(f"{SECRET}\n")
        return place

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def executed(self) -> Path:
        return self.folder / "executed"

    def environ(self) -> dict[str, str]:
        """The variables that the commands see."""
        kept = ("PATH", "PYTHONPATH", "LANG", "DOCKER_HOST")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "CONDABUILD_STORE_DIR": str(self.store),
            "CONDA_PKGS_DIRS": str(self.folder / "pkgs"),
            "CANARY_TOKEN": SECRET,
        }

    def protected(self) -> dict[str, str]:
        """The state of all that lies outside of the folders that commands may write: a path to a fingerprint."""
        writable = {self.out, self.temporary, self.store, self.home / ".cache"}
        found: dict[str, str] = {}
        for root, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if Path(root, name) not in writable]
            for name in (*folders, *files):
                path = Path(root, name)
                status = path.lstat()
                content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
                target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
                found[str(path.relative_to(self.folder))] = f"{status.st_mode:o} {content} {target}"
        return found


Command = Sequence[str | Path]


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Args:
        kind: ``package``, ``prefix``, ``lockfile``, ``image`` or ``archive``.
        name: what is hostile about it; unique within the kind.
        prepare: writes the input into the place's `work` and returns the commands to run one after another, each
            without the program's name.
        refused: whether at least one of the commands must fail.
        absent: texts that must not be in anything that the commands printed or wrote, beside `SECRET`.
        environ: more variables for the commands.
    """

    kind: str
    name: str
    prepare: Callable[[Place], Sequence[Command]]
    refused: bool = False
    absent: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Kind and name."""
        return f"{self.kind}: {self.name}"
