"""The updates of several builds: one short answer that waits for nothing, and in which no event is lost or repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.server import supervisor, updates
from tests.parts.server.script import Script, finished
from tests.server.conftest import Api, until
from tests.server.test_builds import check
from tests.server.test_routes import error_of


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a build without a server is accepted at once."""
    monkeypatch.setattr(supervisor, "STRANGER_SECONDS", 0.0)


@pytest.fixture
def state(api: Api) -> Path:
    """The state folder of the server."""
    return Path(api.app.data_dir) / "condabuild"


@pytest.fixture
def scripts(state: Path) -> Iterator[list[Script]]:
    """Ten running builds without events."""
    running = [Script(state) for _ in range(10)]
    yield running
    for script in running:
        script.__exit__(None, None, None)


async def asked(api: Api, seqs: dict[str, int]) -> list[dict[str, Any]]:
    """Returns the updates after these events."""
    answer = await api("GET", "condabuild/updates?" + "&".join(f"after={id}:{seq}" for id, seq in seqs.items()))
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    check(answer.json, "Updates")
    return list(answer.json["updates"])


async def test_ten_running_builds_are_one_answer_that_waits_for_nothing(api: Api, scripts: list[Script]) -> None:
    """A build without new events does not delay the others: each request ends at once, while all builds run."""
    for number, script in enumerate(scripts):
        script.log(number)
    found = await asked(api, {script.id: 0 for script in scripts})
    assert [one["id"] for one in found] == [script.id for script in scripts]
    assert [len(one["events"]) for one in found] == list(range(10))
    assert {(one["state"], one["build"]["state"]) for one in found} == {("waiting", "running")}
    again = await asked(api, {script.id: script.seq for script in scripts})
    assert [one["events"] for one in again] == [[]] * 10


async def test_the_builds_of_other_clients_are_in_the_answer(api: Api, scripts: list[Script], state: Path) -> None:
    """They wait or run. Ended builds are not in the answer."""
    finished(state, 10)
    first, *rest = [script.id for script in scripts]
    answer = (await api("GET", f"condabuild/updates?after={first}:0")).json
    assert [one["id"] for one in answer["others"]] == rest
    answer = (await api("GET", "condabuild/updates")).json
    assert (answer["updates"], [one["id"] for one in answer["others"]]) == ([], [first, *rest])


async def test_no_event_is_lost_or_repeated_while_builds_write(api: Api, scripts: list[Script]) -> None:
    """A reader asks again and again after its last events, and gets each event of each build once, in order."""
    chance = random.Random(7)
    received: dict[str, list[int]] = {script.id: [] for script in scripts}
    states: dict[str, str] = {}

    async def read() -> bool:
        open_ids = [id for id in received if states.get(id) != "complete"]
        for one in await asked(api, {id: len(received[id]) for id in open_ids}):
            received[one["id"]] += [event["seq"] for event in one["events"]]
            states[one["id"]] = one["state"]
        return all(state == "complete" for state in states.values())

    for _ in range(20):
        for script in scripts:
            script.log(chance.randrange(30))
        await read()
    for script in scripts:
        script.end()
    await until(read)
    assert received == {script.id: list(range(1, script.seq + 1)) for script in scripts}


async def test_a_long_log_comes_in_parts(api: Api, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer has a limit, so that a long log holds no connection for long. The state says that there is more."""
    monkeypatch.setattr(updates, "MAX_BYTES", 200_000)
    (first, last), (second, _) = finished(state, 500_000), finished(state, 10)
    seq, parts = 0, []
    while True:
        log, other = await asked(api, {first: seq, second: 0})
        seq = log["events"][-1]["seq"]
        parts.append((log["state"], other["state"]))
        assert len(str(log["events"])) < 600_000
        if log["state"] == "complete":
            break
    assert seq == last
    assert len(parts) >= 5
    assert set(parts[:-1]) == {("more", "more")}  # the second build waits for its turn
    assert parts[-1] == ("complete", "more")


async def test_a_build_that_wrote_no_last_event_has_one(api: Api, scripts: list[Script]) -> None:
    """The build was killed: the server's own last event ends the updates, once. A half written line is left out."""
    script = scripts[0]
    script.log(3)
    script.file.write(b'{"type": "log", "seq": 4, "time": 1.5, "te\n')
    script.file.close()

    async def complete() -> Any:
        (one,) = await asked(api, {script.id: 3})
        return one if one["state"] == "complete" else None

    one = await until(complete)
    assert [event["type"] for event in one["events"]] == ["failed"]
    assert one["build"]["state"] == "interrupted"
    (after,) = await asked(api, {script.id: one["events"][-1]["seq"]})
    assert (after["state"], after["events"]) == ("complete", [])


async def test_a_deleted_build_is_gone(api: Api, state: Path) -> None:
    """The other builds of the request are not."""
    (deleted, _), (kept, _) = finished(state, 10), finished(state, 10)
    assert (await api("DELETE", f"condabuild/builds/{deleted}?forget=true")).status == 204
    gone, there = await asked(api, {deleted: 0, kept: 0})
    assert gone == {"id": deleted, "state": "gone", "build": None, "events": []}
    assert there["build"]["state"] == "cancelled"


@pytest.mark.parametrize("query", ["after=x", "after=0123456789abcdef", "after=0123456789abcdef:-1", "after="])
async def test_an_invalid_request_is_refused(api: Api, query: str) -> None:
    """The answer names the parameter."""
    answer = await api("GET", f"condabuild/updates?{query}")
    assert (answer.status, error_of(answer)) == (400, "bad_request")
    assert "after" in answer.json["message"]


async def test_a_request_for_too_many_builds_is_refused(api: Api) -> None:
    """The answer names the limit."""
    query = "&".join(f"after={number:016x}:0" for number in range(101))
    answer = await api("GET", f"condabuild/updates?{query}")
    assert (answer.status, error_of(answer)) == (400, "bad_request")
    assert "100" in answer.json["message"]
