"""The verdict of a verification in figures: how many packages are proved, and what nothing proves."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from jupyter_condabuild.conda.packages import canonical_name
from jupyter_condabuild.image.paths import PIP_LIST, PREFIX_IN_LAYER, SOURCES, in_layer
from jupyter_condabuild.jobs.proof.entries import Node
from jupyter_condabuild.oci.image import BlobSource, Descriptor
from jupyter_condabuild.oci.layer_reader import entries
from jupyter_condabuild.text import counted, listed

_MOST_RECORD = 16 << 20
"""The largest size in bytes of a list of files that pip wrote."""

_ROOT = f"{PREFIX_IN_LAYER}/"


@dataclass
class OwnFiles:
    """What the layers have that no package of the lock file brings.

    `patched` are the names of conda packages with changed or missing files, `pip` the names of pip packages, and
    `files` is the number of all other files.
    """

    patched: set[str] = field(default_factory=set)
    pip: set[str] = field(default_factory=set)
    files: int = 0

    def add(self, found: Mapping[str, Node], of_pip: Mapping[str, str], owners: Mapping[str, str]) -> None:
        """Adds the paths of a layer.

        Args:
            of_pip: the pip package of each path, see `pip_files`.
            owners: the name of the conda package of each path in the environment.
        """
        self.pip |= set(of_pip.values())
        below = {parent: name for path, name in owners.items() for parent in _parents(path)}
        for path, node in found.items():
            inside = path.removeprefix(_ROOT)
            folder, name = posixpath.split(inside)
            if path.startswith(_ROOT) and name.startswith(".wh."):
                removed = posixpath.join(folder, name.removeprefix(".wh."))
                self.patched |= {owner for owner in (owners.get(removed), below.get(removed)) if owner}
            elif path.startswith(_ROOT) and inside in owners:
                self.patched.add(owners[inside])
            elif node.kind != "a folder" and not _is_ours(path) and path not in of_pip:
                self.files += 1


def pip_files(image: BlobSource, layer: Descriptor) -> dict[str, str]:
    """Returns the paths of a layer that belong to pip packages, each with the name of its package."""
    found: dict[str, str] = {}
    for member, content in entries(image, layer):
        info, name = posixpath.split(member.name.removeprefix("./"))
        if name != "RECORD" or not info.endswith(".dist-info") or content is None:
            continue
        package = canonical_name(posixpath.basename(info).removesuffix(".dist-info").rpartition("-")[0])
        text = content.read(_MOST_RECORD).decode("utf-8", "surrogateescape")
        site = posixpath.dirname(info)
        with suppress(csv.Error):
            for row in csv.reader(io.StringIO(text, newline="")):
                if row:
                    found[posixpath.normpath(f"{site}/{row[0]}")] = package
        found[f"{info}/RECORD"] = package
    return found


def _is_ours(path: str) -> bool:
    """Whether a build makes a path: bytecode, records, the list of pip packages, sources of editable installs."""
    sources, meta = in_layer(SOURCES), f"{_ROOT}conda-meta/"
    return path.endswith(".pyc") or path.startswith((f"{sources}/", meta)) or path == in_layer(PIP_LIST)


def _parents(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


@dataclass(frozen=True)
class Verdict:
    """What a verification proved, and what not.

    `packages` is the number of conda packages whose files are proved. `patched`, `pip` and `files` are those of
    `OwnFiles`: nothing proves them. `other` is the number of other parts that nothing proves, such as the layers of a
    base that is not available.
    """

    packages: int
    patched: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    files: int = 0
    other: int = 0

    @classmethod
    def of_all(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """Returns the verdict of several images: the numbers are added up."""
        found = list(verdicts)
        return cls(
            sum(one.packages for one in found),
            tuple(sorted({name for one in found for name in one.patched})),
            tuple(sorted({name for one in found for name in one.pip})),
            sum(one.files for one in found),
            sum(one.other for one in found),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the verdict as a JSON object."""
        value = asdict(self)
        return {"text": str(self), **value, "patched": list(self.patched), "pip": list(self.pip)}

    def __str__(self) -> str:
        unproved = [
            f"{listed(self.patched)} patched" if self.patched else "",
            counted(range(self.files), "foreign file") if self.files else "",
            counted(self.pip, "pip package") if self.pip else "",
            counted(range(self.other), "other part") if self.other else "",
        ]
        rest = ", ".join(filter(None, unproved))
        proved = f"{counted(range(self.packages), 'package')} proved"
        return f"{proved}; {rest} not provable" if rest else f"{proved}, and everything else in the image, too"
