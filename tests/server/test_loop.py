"""The server's event loop is free during builds, snapshots and streams, so that other requests are answered."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.parts.jupyter_process import Home, Server, latencies, percentile
from tests.parts.server.script import finished

ROOM = 0.05
"""The seconds by which the slowest hundredth of answers can be slower than on an idle server."""

LONGEST = 0.4
"""The seconds by which any answer can be slower. A scan of an environment takes longer."""

ATTEMPTS = 3  # one measurement is enough: other work on this machine does not count


@pytest.fixture
def home(tmp_path: Path, small_base: str) -> Home:
    """A server with an empty home folder and an empty store, so that builds have work."""
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home", {"base_image": small_base})


def slower(home: Home, attempt: int, prefix: Path, registry: str) -> tuple[float, float]:
    """How much slower the slowest hundredth, and the slowest answer, are during a build and a snapshot.

    An idle server answers at the same time, on the same busy machine.
    """
    home.settings["store_dir"] = str(home.path / f"store-{attempt}")
    id, _ = finished(home.state, 100 << 20)
    quiet_home = Home(home.path / f"quiet-{attempt}")
    quiet_home.path.mkdir()
    with Server(home) as server, server.another_client() as other, Server(quiet_home) as quiet:
        body = {"prefix": str(prefix), "push": True, "reference": f"{registry}/loop/{home.path.parent.name}:{attempt}"}
        build = server.post(body).json()["id"]

        def snapshots() -> None:
            for _ in range(2):
                other.post("condabuild/snapshots", json={"prefix": str(prefix)}).raise_for_status()

        def log() -> None:
            with other.stream("GET", f"condabuild/builds/{id}/events") as response:
                for _ in response.iter_raw():
                    pass

        work = [threading.Thread(target=target) for target in (snapshots, log)]
        for thread in work:
            thread.start()
        busy, idle = latencies((server, quiet), lambda count: count < 300 or any(thread.is_alive() for thread in work))
        ended = server.ended(build)
        assert ended["state"] == "finished", ended["error"]
    return percentile(busy, 0.99) - percentile(idle, 0.99), busy[-1] - idle[-1]


def test_other_requests_are_answered_during_a_build(home: Home, rattler_prefix: Path, registry: str) -> None:
    """The slowest hundredth of GET /api/status takes less than 50 ms more than on an idle server.

    No answer takes long.
    """
    found = []
    for attempt in range(ATTEMPTS):
        found.append(slower(home, attempt, rattler_prefix, registry))
        if found[-1][0] < ROOM and found[-1][1] < LONGEST:
            return
    pytest.fail(f"answers were slower by {found} seconds")
