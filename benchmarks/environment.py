"""The environment of the benchmarks (about 75 packages, 1 GB), and variants with other versions of some packages."""

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
"""The packages that the variants have in an older version. They have no dependencies."""

PORT = 8765
"""The port of the channel, if it is free. The port is part of package URLs and so of layer keys."""


@dataclass(frozen=True)
class Environment:
    """A prefix and its lock file.

    Args:
        channel: the URL of the channel.
        specs: the requested specs.
        packages: the package cache.
        changed: the archives of the packages that have another version than in the variant `all`.
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
    """Installs the packages of `to` in the prefix of `environment`, and returns the result.

    A user who updates an environment does the same.
    """
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
    """Makes the variants and serves their channel while the block runs. Yields the variants by name.

    Args:
        work: the folder for the prefixes.
        cache: the folder that keeps the channel and its wheels for later runs.
    """
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
    """Returns, for each project, the package of the version before the one in the set of the benchmarks."""
    files = wheels.download(SETS["bench"].requirements, cache)
    newest = {wheels.conda_name(file.name.split("-")[0]): file.name.split("-")[1] for file in files}
    packages = {}
    for name in names:
        (wheel,) = wheels.download([f"{name}<{newest[name]}"], cache)
        (packages[name],) = wheels.packages([wheel], {"python", "python_abi", "libgcc", "libstdcxx", "zlib"})
    return packages


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
