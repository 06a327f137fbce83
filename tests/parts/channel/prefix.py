"""Real prefixes of solved packages, as py-rattler and as conda make them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import rattler
from rattler.explicit_environment import ExplicitEnvironmentSpec
from rattler.package_streaming import download_and_extract

from tests.parts.channel import conda

PLATFORMS: list[rattler.platform.SubdirLiteral] = ["linux-64", "noarch"]


def solve(specs: Sequence[str], channel_url: str, cache_dir: Path) -> list[rattler.RepoDataRecord]:
    """Returns the records that satisfy `specs`."""
    return asyncio.run(_solve(specs, channel_url, cache_dir))


def create(prefix: Path, specs: Sequence[str], channel_url: str, cache_dir: Path, *, scripts: bool = False) -> Path:
    """Makes `prefix` with the packages that `specs` need. `scripts` runs post-link scripts."""

    async def work() -> None:
        await rattler.install(
            await _solve(specs, channel_url, cache_dir),
            prefix,
            cache_dir=cache_dir,
            # py-rattler 0.28 does not accept the public type here
            requested_specs=[rattler.MatchSpec(spec)._match_spec for spec in specs],
            execute_link_scripts=scripts,
            show_progress=False,
        )

    asyncio.run(work())
    return prefix


def conda_made(
    prefix: Path,
    pkgs_dir: Path,
    specs: Sequence[str],
    channel_url: str,
    *,
    scripts: bool = True,
    env_vars: Mapping[str, str] | None = None,
    always_softlink: bool = False,
) -> Path:
    """Makes `prefix` as `conda create` does.

    Its package cache is in `pkgs_dir`, and `env_vars` are in `conda- meta/state`.
    """
    with TemporaryDirectory() as cache:
        found = {record.name.normalized: record for record in solve(specs, channel_url, Path(cache))}
    records = [found[name] for name in conda.link_order({name: record.depends for name, record in found.items()})]
    made = conda.Conda(prefix.absolute(), pkgs_dir.absolute(), channel_url, always_softlink)
    made.create(records, specs, scripts, env_vars or {})
    return prefix


async def _solve(specs: Sequence[str], channel_url: str, cache_dir: Path) -> list[rattler.RepoDataRecord]:
    gateway = rattler.Gateway(cache_dir=cache_dir / "repodata")
    channel = rattler.Channel(channel_url)
    virtual = rattler.VirtualPackage.detect()
    return await rattler.solve([channel], specs, gateway, PLATFORMS, virtual_packages=virtual)


def from_explicit(prefix: Path, file: Path, cache_dir: Path) -> Path:
    """Makes `prefix` from an explicit lock file as `conda create --file` does. Archives are checked."""

    async def record(number: int, url: str) -> rattler.RepoDataRecord:
        address, _, digest = url.partition("#")
        folder = cache_dir / f"package-{number}"
        await download_and_extract(rattler.Client(), address, folder, bytes.fromhex(digest))
        about = rattler.PackageRecord.from_index_json(folder / "info/index.json", sha256=digest)
        channel, _, name = address.rsplit("/", 2)
        return rattler.RepoDataRecord(about, name, address, channel)

    async def work() -> None:
        named = ExplicitEnvironmentSpec.from_path(file).packages
        records = await asyncio.gather(*(record(number, package.url) for number, package in enumerate(named)))
        await rattler.install(list(records), prefix, cache_dir=cache_dir, show_progress=False)

    asyncio.run(work())
    return prefix
