"""`python -m benchmarks.server`: how a build of the 1 GB environment, and large logs, affect a Jupyter server."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.parts.channel import channel as channels
from tests.parts.channel import prefix
from tests.parts.channel.channel import SETS
from tests.parts.jupyter_process import Home, Server, latencies, percentile
from tests.parts.server.script import finished

LOG_BYTES = 500 << 20
READERS = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the arguments of the command line, measures, and prints the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path.home() / ".cache" / "jupyter-condabuild-tests"
    parser.add_argument(
        "--cache",
        type=Path,
        default=os.environ.get("JUPYTER_CONDABUILD_TEST_CACHE", default),
        help="folder that keeps the channel and its wheels",
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="condabuild-bench-") as folder:
        work = Path(folder)
        channel = channels.build(options.cache / "bench", {"bench"}, options.cache / "wheels")
        environment = prefix.create(work / "env", SETS["bench"].specs, channel.url, work / "pkgs")
        base = os.environ["CONDABUILD_TEST_BASE_REFERENCE"]
        home = Home(work / "home", {"base_image": base, "store_dir": str(work / "store")})
        home.path.mkdir()
        print("| measurement | result |\n|---|---|")
        for name, result in (*_build(home, environment, base.partition("/")[0]), *_log(home)):
            print(f"| {name} | {result} |", flush=True)


def _build(home: Home, environment: Path, registry: str) -> list[tuple[str, str]]:
    with Server(home) as server:
        server.client.get("condabuild/environments").raise_for_status()
        (idle,) = latencies((server,), lambda count: count < 1000)
        before = server.memory
        body = {"prefix": str(environment), "push": True, "reference": f"{registry}/bench/server:{os.getpid()}"}
        id = server.post(body).raise_for_status().json()["id"]
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(server.ended, id)
            (busy,) = latencies((server,), lambda _: not ended.done())
            build = ended.result()
        assert build["state"] == "finished", build["error"]
        return [
            ("cold build and push", f"{build['seconds']:.1f} s, {build['result']['bytes_pushed'] / 1e6:.0f} MB"),
            ("GET /api/status, idle: median, p99, maximum", _shown(idle)),
            (f"GET /api/status, during the build ({len(busy)} requests)", _shown(busy)),
            ("growth of the server's memory", f"{(server.memory - before) / 1e6:.1f} MB"),
        ]


def _log(home: Home) -> list[tuple[str, str]]:
    large, _ = finished(home.state, LOG_BYTES)
    small, count = finished(home.state, 1 << 20)
    with Server(home) as server:
        server.client.get("condabuild/builds").raise_for_status()
        before = peak = server.memory
        started = time.perf_counter()
        with server.client.stream("GET", f"condabuild/builds/{large}/events") as response:
            for number, _ in enumerate(response.iter_raw()):
                if number % 50 == 0:
                    peak = max(peak, server.memory)
        seconds = time.perf_counter() - started
        with ThreadPoolExecutor(READERS) as pool:
            started = time.perf_counter()
            received = list(pool.map(lambda _: sum(bool(id) for _, id, _ in server.messages(small)), range(READERS)))
            together = time.perf_counter() - started
        assert set(received) == {count}
        return [
            (f"a log of {LOG_BYTES >> 20} MiB to one reader", f"{seconds:.1f} s, {LOG_BYTES / seconds / 1e6:.0f} MB/s"),
            ("growth of the server's memory meanwhile", f"{(peak - before) / 1e6:.1f} MB"),
            (f"{READERS} readers, {count} events each, one client process", f"{together:.1f} s"),
        ]


def _shown(taken: list[float]) -> str:
    return " / ".join(
        f"{value * 1000:.1f} ms" for value in (percentile(taken, 0.5), percentile(taken, 0.99), taken[-1])
    )


if __name__ == "__main__":
    main()
