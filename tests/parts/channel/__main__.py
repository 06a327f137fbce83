"""`python -m tests.parts.channel OUT` makes a channel and a prefix from PyPI, without a conda channel."""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.parts.channel import channel as channels
from tests.parts.channel import prefix
from tests.parts.channel.channel import SETS, Channel


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    options = _parser().parse_args(arguments)
    start = time.monotonic()
    channel = channels.build(options.out, {options.set}, options.wheels)
    size = sum(path.stat().st_size for path in channel.archives)
    print(f"channel   {channel.folder}: {len(channel.archives)} packages, {size / 1e6:.0f} MB, {_since(start)}")
    with channels.serve(channel, options.serve or 0) as url:
        if options.prefix:
            _create(options, channel, url)
        if options.serve is not None:
            print(f"serving   {url} (Ctrl-C ends it)", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()


def _create(options: argparse.Namespace, channel: Channel, url: str) -> None:
    """Makes the prefix. Its records have the URL of the channel if it stays served, otherwise the folder."""
    start = time.monotonic()
    source = url if options.serve is not None else channel.url
    specs = options.specs or SETS[options.set].specs
    if options.like == "conda":
        prefix.conda_made(options.prefix, options.pkgs or options.out / "pkgs", specs, source)
    else:
        prefix.create(options.prefix, specs, source, options.pkgs or options.out / "pkgs", scripts=True)
    records = len(list((options.prefix / "conda-meta").glob("*.json")))
    print(f"prefix    {options.prefix}: {records} packages as {options.like} links them, {_since(start)}")


def _since(start: float) -> str:
    return f"{time.monotonic() - start:.1f} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.parts.channel", description=__doc__)
    parser.add_argument("out", type=Path, help="folder of the channel; what is in it is not made again")
    parser.add_argument("--set", choices=sorted(SETS), default="tiny")
    parser.add_argument("--prefix", type=Path, help="make a prefix there")
    parser.add_argument("--like", choices=("rattler", "conda"), default="rattler", help="who seems to have made it")
    parser.add_argument("--specs", nargs="+", help="what the prefix asks for, if not all the set")
    parser.add_argument("--pkgs", type=Path, help="package cache of the prefix (default OUT/pkgs)")
    parser.add_argument("--wheels", type=Path, help="cache of downloaded wheels (default OUT/../wheels)")
    parser.add_argument("--serve", type=int, metavar="PORT", help="keep serving on loopback (0: a free port)")
    return parser


if __name__ == "__main__":
    main()
