"""Ended builds can be deleted from the history, and other builds cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.parts.gate import Gate
from tests.server.conftest import Api
from tests.server.test_routes import error_of


class TestOneAtATime:
    """A server that runs one build at a time, so that another build waits."""

    @pytest.fixture
    def config(self, server_store: Path, small_base: str) -> dict[str, Any]:
        """The settings."""
        return {"store_dir": str(server_store), "base_image": small_base, "max_concurrent_builds": 1}

    async def test_only_ended_builds_are_deleted(self, api: Api, held: dict[str, Any], gate: Gate) -> None:
        """A running and a waiting build continue. A cancelled and a finished build are deleted with their events."""
        running = (await api("POST", "condabuild/builds", held)).json["id"]
        waiting = (await api("POST", "condabuild/builds", {**held, "reference": held["reference"] + "-2"})).json["id"]
        await asyncio.to_thread(gate.wait)
        folders = Path(api.app.data_dir) / "condabuild" / "builds"
        for id in (running, waiting):
            refused = await api("DELETE", f"condabuild/builds/{id}?forget=true")
            assert (refused.status, error_of(refused)) == (409, "not_ended")
            assert "Cancel the build" in refused.json["hint"]
        builds = (await api("GET", "condabuild/builds")).json["builds"]
        assert [build["state"] for build in builds] == ["queued", "running"]
        assert (await api("DELETE", f"condabuild/builds/{waiting}?forget=false")).json["state"] == "cancelled"
        gate.opened.set()
        assert (await api.ended(running))["state"] == "finished"
        assert (folders / running).is_dir()
        for id in (waiting, running):
            forgotten = await api("DELETE", f"condabuild/builds/{id}?forget=true")
            assert (forgotten.status, forgotten.body) == (204, b"")
            for verb, path in (("GET", ""), ("GET", "/events"), ("DELETE", ""), ("DELETE", "?forget=true")):
                gone = await api(verb, f"condabuild/builds/{id}{path}")
                assert (gone.status, error_of(gone)) == (404, "not_found"), (verb, path)
        assert (await api("GET", "condabuild/builds")).json == {"builds": [], "total": 0}
        assert not (folders / running).exists()
        again = await api("POST", "condabuild/builds", held)
        assert again.status == 201
        assert (await api.ended(again.json["id"]))["result"]["bytes_pushed"] == 0  # the image was not deleted


async def test_forget_must_be_true_or_false(api: Api) -> None:
    """Another value is refused before the build is looked up."""
    for word in ("1", "yes", "True", ""):
        answer = await api("DELETE", f"condabuild/builds/0123456789abcdef?forget={word}")
        assert (answer.status, error_of(answer)) == (400, "bad_request"), word
    answer = await api("DELETE", "condabuild/builds/0123456789abcdef?forget=true")
    assert (answer.status, error_of(answer)) == (404, "not_found")
