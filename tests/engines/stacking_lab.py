"""A lab whose builds of one tag are stacked, and the packages of its environments."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.engines.result import BuildResult
from jupyter_condabuild.events import Log
from tests.parts.builds import Package, Workshop, install
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata, Symlink
from tests.parts.image_tree import SavedImage

NOISE = random.Random(0).randbytes(300_000)


def _package(name: str, version: str, *entries: File | Symlink) -> Package:
    return Metadata(name, version, noarch="generic"), list(entries)


PACKAGES = [
    _package("big", "1", File("share/big", NOISE)),
    _package("big", "2", File("share/big", NOISE[::-1])),
    _package(
        "lib",
        "1",
        File("share/lib/same", b"same"),
        File("share/lib/changed", b"1"),
        File("share/lib/old/deep/x", b"x"),
        File("share/lib-1.info/RECORD", b"1"),
        File("share/kind", b"a file"),
        File("etc/common/lib", b"1"),
        Symlink("share/lib/link", "old"),
    ),
    _package(
        "lib",
        "2",
        File("share/lib/same", b"same"),
        File("share/lib/changed", b"2"),
        File("share/lib/new", b"new"),
        File("share/lib-2.info/RECORD", b"2"),
        File("share/kind/of", b"a folder"),
        File("share/lib/link/now", b"a folder"),
    ),
    _package("lib", "3", File("share/lib/same", b"same"), File("etc/common/lib", b"3")),
    _package("other", "1", File("etc/common/other", b"other"), File("share/other/x", b"x")),
    _package("going", "1", File("etc/common/going", b"going"), File("share/going/x/y", b"y")),
    _package("coming", "1", File("etc/common/coming", b"coming"), File("share/coming", b"x")),
    _package("clash", "1", File("share/lib/same", b"another")),
    _package("clash", "2", File("share/clash", b"none")),
]
FIRST = ("big=1", "lib=1", "other", "going")
SECOND = ("big=1", "lib=2", "other", "coming")
THIRD = ("big=1", "lib=3", "other")


@dataclass
class Lab:
    """Prefixes from one channel, and their builds with one tag."""

    workshop: Workshop
    channel: Channel
    tag: str
    said: str = ""

    def prefix(self, *specs: str) -> Path:
        """Makes an environment."""
        folder = self.workshop.folder / uuid.uuid4().hex
        folder.mkdir()
        return install(folder / "env", self.channel, *specs)

    def update(self, *specs: str, prefix: Path | None = None, **request: Any) -> tuple[BuildResult, SavedImage]:
        """Builds the image of the tag, stacked on the current image. `said` is the build's message about stacking."""
        path = self.workshop.folder / f"{uuid.uuid4().hex}.tar"
        given = {"reference": self.tag, "push": True, "stack": True, "archive": str(path), **request}
        result = self.workshop.build(prefix or self.prefix(*specs), **given)
        lines = [event.text for event in self.workshop.events if isinstance(event, Log)]
        self.said = "".join(line for line in lines if "tacked" in line)
        return result, SavedImage(path)

    def canonical(self, *specs: str, prefix: Path | None = None, **request: Any) -> SavedImage:
        """Builds the canonical image."""
        return self.workshop.image(prefix or self.prefix(*specs), uuid.uuid4().hex, **request)
