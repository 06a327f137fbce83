"""Which paths a package brings, told without having it: the same from a cache, a channel's archive and a prefix."""

from __future__ import annotations

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jupyter_condabuild.conda.contents import package_paths
from jupyter_condabuild.conda.lockfile import Lockfile, lock
from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.snapshot import snapshot
from tests.channel.channel import Channel


@pytest.fixture(scope="module")
def locked(rattler_prefix: Path) -> Lockfile:
    return lock(snapshot(rattler_prefix))


@pytest.fixture(scope="module")
def installed(rattler_prefix: Path) -> dict[str, list[str]]:
    """What py-rattler's records list, by dist."""
    return {record.dist: sorted(record.files) for record in snapshot(rattler_prefix).records}


def sorted_paths(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {dist: sorted(paths) for dist, paths in found.items()}


def test_a_cache_tells(locked: Lockfile, installed: dict[str, list[str]], package_cache: Path) -> None:
    """Noarch Python files where they will lie, and entry points, which no archive holds."""
    found = package_paths(locked.conda, PackageCaches([package_cache]), {}, locked.site_packages)
    assert sorted_paths(found) == installed


def test_a_channel_tells(locked: Lockfile, installed: dict[str, list[str]]) -> None:
    """Where no cache has the package."""
    assert sorted_paths(package_paths(locked.conda, PackageCaches([]), {}, locked.site_packages)) == installed


class Ranges(SimpleHTTPRequestHandler):
    """A web server that sends parts of files (RFC 9110, 14.2), as every real channel does, and counts the bytes."""

    sent = 0

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        start, end = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "bytes=0-")).groups()  # type: ignore[union-attr]
        first = int(start) if start else len(data) - int(end)
        part = data[first : int(end) + 1 if start and end else len(data)]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        Ranges.sent += len(part)
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


def test_of_a_large_archive_a_few_bytes_are_enough(locked: Lockfile, channel: Channel) -> None:
    """Only the part with the metadata is transferred."""
    python = locked.python
    assert python
    assert python.size
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(channel.folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        urls = {python.dist: f"http://127.0.0.1:{server.server_port}/linux-64/{python.fn}"}
        try:
            found = package_paths([python], PackageCaches([]), urls, locked.site_packages)
        finally:
            server.shutdown()
            thread.join()
    assert len(found[python.dist]) > 1000
    assert 0 < Ranges.sent < python.size / 10


def test_what_nobody_tells_is_left_out(locked: Lockfile, tmp_path: Path) -> None:
    """The others are told all the same, and nothing is raised."""
    package = next(item for item in locked.conda if item.name == "greet")
    urls = {package.dist: "http://127.0.0.1:9/nobody/greet-1.0-h0_0.conda"}
    found = package_paths(locked.conda, PackageCaches([tmp_path]), urls, locked.site_packages)
    assert package.dist not in found
    assert len(found) == len(locked.conda) - 1
