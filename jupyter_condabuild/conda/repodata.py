"""The md5 of packages, from the repodata of their channels: a few requests if a channel has shards (CEP 16)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from jupyter_condabuild.conda.clients import make_client
from jupyter_condabuild.conda.packages import CondaPackage

_SECONDS = 60


def md5s(packages: Sequence[CondaPackage]) -> dict[str, str]:
    """Returns the md5 that the channels have for the sha256 of packages, by dist.

    The result lacks the packages of channels that cannot be read, and packages that a channel does not list.
    """
    import asyncio

    return asyncio.run(_md5s(packages)) if packages else {}


async def _md5s(packages: Sequence[CondaPackage]) -> dict[str, str]:
    import rattler

    by_channel: dict[str, list[CondaPackage]] = {}
    for package in packages:
        by_channel.setdefault(package.channel, []).append(package)
    gateway = rattler.Gateway(client=make_client(list(by_channel), retries=1, seconds=_SECONDS))
    known: dict[tuple[str, str], str] = {}
    for channel, members in by_channel.items():
        for record in await _records(gateway, channel, members):
            if record.sha256 and record.md5:
                known[channel, record.sha256.hex()] = record.md5.hex()
    pairs = ((package.dist, known.get((package.channel, package.sha256))) for package in packages)
    return {dist: md5 for dist, md5 in pairs if md5}


async def _records(gateway: Any, channel: str, packages: Sequence[CondaPackage]) -> list[Any]:
    """Returns the records that a channel has under the names of packages; none if the channel cannot be read."""
    subdirs, names = ({getattr(package, field) for package in packages} for field in ("subdir", "name"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = await gateway.query([channel], sorted(subdirs), sorted(names), recursive=False)
    except Exception:  # noqa: BLE001  rattler raises many types; the archives have the md5, too
        return []
    return [record for records in found for record in records]
