"""The status: each probe runs by itself, and has its reason, its hint and its time limit."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.oci import archive
from jupyter_condabuild.server import path_checks
from jupyter_condabuild.server.probes import Probes
from jupyter_condabuild.settings import Settings
from tests.parts.debian.mirror import SmallMirror
from tests.parts.small_image import image
from tests.server.conftest import Api
from tests.server.test_builds import check


@pytest.fixture
def settings(tmp_path: Path, registry: str, base_reference: str) -> Settings:
    """The status of a machine without faults."""
    return Settings(store_dir=str(tmp_path / "store"), registry=f"{registry}/team", base_image=base_reference)


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def probed(settings: Settings, limit: float = 60.0) -> dict[str, dict[str, Any]]:
    """Returns the probes by subject."""
    probes = Probes(settings, limit)
    try:
        found = await probes.all()
    finally:
        await probes.close()
    for probe in found:
        check(probe, "Probe")
        assert probe["works"] == (probe["fault"] is None)
    return {probe["subject"]: probe for probe in found}


async def test_the_route_returns_all_probes(api: Api) -> None:
    """The probes match the contract."""
    answer = await api("GET", "condabuild/status")
    assert answer.status == 200
    check(answer.json, "Status")
    assert [probe["subject"] for probe in answer.json["probes"]] == ["store", "engine", "base"]


async def test_a_passed_probe_has_details(settings: Settings, docker_client: docker.DockerClient) -> None:
    """Store, registry, engine and base have details."""
    found = await probed(settings)
    assert {subject for subject, probe in found.items() if probe["works"]} == {"store", "registry", "engine", "base"}
    assert "free" in found["store"]["detail"]
    assert found["registry"]["detail"].startswith(("without a login", "logged in"))
    assert found["engine"]["detail"].startswith(("Docker ", "Podman "))
    assert found["base"]["detail"].startswith("sha256:")
    assert not await asyncio.to_thread(os.path.exists, settings.store_dir), "a probe must not create the folder"


async def test_the_login_is_named_without_its_secret(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: str
) -> None:
    """The probe has the user name, or the fault of the login."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": "YWRhOnNlY3JldA=="}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert (await probed(settings))["registry"]["detail"] == "logged in as ada"
    (tmp_path / "config.json").write_text("{")
    assert "config.json" in (await probed(settings))["registry"]["detail"]


@pytest.mark.parametrize(
    ("subject", "change", "code", "words"),
    [
        ("store", {"store_dir": "/dev/null/store"}, "store_unwritable", "/dev/null"),
        ("registry", {"registry": "127.0.0.1:1/team"}, "registry_unreachable", "127.0.0.1:1"),
        ("registry", {"registry": "NO/such name"}, "bad_reference", "name"),
        ("engine", {"docker_host": "unix:///no/such.sock"}, "engine_unavailable", "/no/such.sock"),
        ("base", {"base_image": "127.0.0.1:1/base"}, "base_unavailable", "127.0.0.1:1"),
        ("base", {"base_image": "oci-archive:/no/such.tar"}, "base_unavailable", "/no/such.tar"),
        ("base", {"base_image": "??"}, "base_unavailable", "??"),
        (
            "base",
            {"base_image": "debian-packages:sid", "debian_mirrors": ("file:///no",)},
            "base_unavailable",
            "file:///no",
        ),
    ],
)
async def test_a_failed_probe_has_a_reason_and_a_hint(
    settings: Settings, subject: str, change: dict[str, str], code: str, words: str
) -> None:
    """No other probe fails with it."""
    found = await probed(replace(settings, **change))  # type: ignore[arg-type]
    fault = found[subject]["fault"]
    assert (fault["code"], bool(fault["hint"])) == (code, True)
    assert words in fault["message"]
    others = {name for name, probe in found.items() if not probe["works"]} - {subject, "engine"}
    assert not others


async def test_a_probe_that_hangs_is_stopped_and_not_started_twice(settings: Settings, mute: str) -> None:
    """The time limit is kept, the other probes answer, the event loop is free, and a second request adds no thread."""
    probes = Probes(replace(settings, registry=f"{mute}/team"), 0.5)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.ensure_future(tick())
    try:
        before = threading.active_count()
        for _ in range(3):
            started = time.monotonic()
            found = {probe["subject"]: probe for probe in await probes.all()}
            assert time.monotonic() - started < 30
            assert found["registry"]["fault"]["code"] == "no_answer"
            assert found["store"]["works"]
        assert threading.active_count() <= before + 4
        assert ticks > 20
    finally:
        ticking.cancel()
        await probes.close()


async def test_the_settings_alone_come_without_a_probe(api: Api) -> None:
    """A panel knows at once whether a registry is set, also where Docker Hub does not answer."""
    answer = await api("GET", "condabuild/status?probes=false")
    check(answer.json, "Status")
    assert answer.json["probes"] == []
    assert (await api("GET", "condabuild/status?probes=maybe")).status == 400


async def test_a_base_of_packages_works_if_the_mirror_has_it(settings: Settings, small_mirror: SmallMirror) -> None:
    """Nothing is made for the answer."""
    given = replace(settings, base_image="debian-packages:bookworm", debian_mirrors=(small_mirror.url,))
    assert (await probed(given))["base"]["works"]
    assert not await asyncio.to_thread(os.path.exists, settings.store_dir)


async def test_archives_below_the_root_folder_and_a_base_of_packages_are_offered(
    settings: Settings, tmp_path: Path, small_mirror: SmallMirror
) -> None:
    """An archive is named as a client must name it: relative to the root folder."""
    (tmp_path / "root/bases").mkdir(parents=True)
    archive.write(image([]), "127.0.0.1:1/base:latest", tmp_path / "root/bases/base.tar")
    given = replace(settings, base_image="127.0.0.1:1/base", debian_mirrors=(small_mirror.url,))
    probes = Probes(given, 60.0, tmp_path / "root")
    try:
        found = {probe["subject"]: probe for probe in await probes.all()}
    finally:
        await probes.close()
    first, last = found["base"]["instead"]
    assert (first, last) == ("oci-archive:bases/base.tar", "debian-packages:bookworm")
    assert path_checks.image(tmp_path / "root", first, given, "base").endswith("/root/bases/base.tar")
    assert path_checks.image(tmp_path / "root", last, given, "base") == last
