"""The environment that is measured, about 75 packages and 1 GB, and variants with other versions of some."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.parts.channel import channel as channels
from tests.parts.channel import prefix, python, wheels
from tests.parts.channel.channel import SETS, Channel
from tests.parts.channel.wheels import WheelPackage

SMALL, LARGE = "click", "numpy"
TEN = ("click", "tqdm", "certifi", "idna", "urllib3", "packaging", "platformdirs", "narwhals", "networkx", "tornado")
SECOND_USER = (LARGE, "pillow", *TEN)
"""Projects without dependencies, of which an older version takes the newest one's place."""

PORT = 8765
"""Of the channel, the same each time where it is free: it is part of package URLs, and so of layer keys."""


@dataclass(frozen=True)
class Environment:
    """A prefix, its lock file, and the archives of the packages in which it differs from the first one.

    It was solved from `specs`, with the package cache `packages`.
    """

    name: str
    prefix: Path
    lockfile: Path
    channel: str
    specs: tuple[str, ...]
    packages: Path
    changed: tuple[Path, ...] = ()

    @property
    def changed_bytes(self) -> int:
        """Bytes of the changed packages' archives."""
        return sum(path.stat().st_size for path in self.changed)


def updated(environment: Environment, to: Environment) -> Environment:
    """The first environment with the second one's packages, as who installs other versions in place has it."""
    prefix.create(environment.prefix, to.specs, to.channel, to.packages)
    return replace(to, prefix=environment.prefix)


VARIANTS: dict[str, Sequence[str]] = {
    "all": (),
    "mine": (),
    "clean": (),
    "small": (SMALL,),
    "large": (LARGE,),
    "ten": TEN,
    "second": SECOND_USER,
}


@contextmanager
def environments(work: Path, cache: Path) -> Iterator[dict[str, Environment]]:
    """Prefixes made of a served channel, for as long as the block runs; what is in `cache` is not made again."""
    channel = channels.build(cache / "bench", {"bench"}, cache / "wheels")
    older = _older(sorted(set(SECOND_USER)), cache / "wheels")
    channels.add(channel, [*python.packages(), *older.values()])
    try:
        serving = channels.serve(channel, PORT)
        url = serving.__enter__()
    except OSError:
        serving = channels.serve(channel)
        url = serving.__enter__()
    try:
        yield {name: _environment(name, changed, older, channel, url, work) for name, changed in VARIANTS.items()}
    finally:
        serving.__exit__(None, None, None)


def _older(names: Sequence[str], cache: Path) -> dict[str, WheelPackage]:
    """The last version of each project before the one that the set has."""
    files = wheels.download(SETS["bench"].requirements, cache)
    newest = {wheels.conda_name(file.name.split("-")[0]): file.name.split("-")[1] for file in files}
    found = {}
    for name in names:
        (wheel,) = wheels.download([f"{name}<{newest[name]}"], cache)
        (found[name],) = wheels.packages([wheel], {"python", "python_abi", "libgcc", "libstdcxx", "zlib"})
    return found


def _environment(
    name: str, changed: Sequence[str], older: dict[str, WheelPackage], channel: Channel, url: str, work: Path
) -> Environment:
    folder, lockfile = work / "envs" / name, work / f"{name}.yml"
    specs = [spec for spec in SETS["bench"].specs if spec not in changed]
    specs += [f"{project} =={older[project].metadata.version}" for project in changed]
    prefix.create(folder, specs, url, work / "pkgs")
    command = [sys.executable, "-m", "jupyter_condabuild", "lock", str(folder), "-o", str(lockfile)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    archives = [older[project].metadata for project in changed]
    paths = [channel.folder / metadata.subdir / f"{metadata.stem}.conda" for metadata in archives]
    return Environment(name, folder, lockfile, url, tuple(specs), work / "pkgs", tuple(paths))
