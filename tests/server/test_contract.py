"""The server follows openapi.yaml for any request: schemathesis sends more than a thousand requests."""

from __future__ import annotations

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks

from jupyter_condabuild.server.handlers import CONTRACT
from jupyter_condabuild.server.schemas import SOURCES
from tests.parts.jupyter_process import TOKEN, Home, Server, until
from tests.parts.server.script import finished
from tests.parts.small_prefix import SmallPrefix

EXAMPLES = 70
"""Valid and invalid cases for each operation."""

FEW = {
    "POST /condabuild/inspections": 20,
    "POST /condabuild/kernels": 20,
    "GET /condabuild/kernels": 5,
    "POST /condabuild/recreations": 20,
    "POST /condabuild/checks": 20,
}
"""Fewer valid cases for operations whose answers take long: each is a process that asks an engine or a registry."""

CHECKS = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
)

SCHEMA = schemathesis.openapi.from_path(str(CONTRACT))
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}

asked: Counter[tuple[str, int]] = Counter()


@dataclass(frozen=True)
class Real:
    """Existing objects, for cases that would hardly guess their ids."""

    server: Server
    prefix: str
    digest: str
    build: str
    registry: str
    """A registry that asks for no login."""
    spare: str
    """An ended build that a case may delete."""
    saved: str
    """A finished build with an archive, `oci-archive:saved.tar`."""
    image: str
    """The digest of the image in the archive. It has a kernel."""
    kernel: str
    """The name of the kernelspec of that kernel."""

    def last(self, kind: str) -> str:
        """The id of the last run of the image, or of its last recreation, or of its check. Older ones are dropped.

        A run has failed: the image has no JupyterLab. So has a recreation: its packages are in no channel.
        """
        known = self.server.client.get(f"condabuild/{kind}").json()[kind]
        return str(known[-1]["build" if kind == "checks" else "id"]) if known else "none"


@pytest.fixture(scope="module")
def real(
    tmp_path_factory: pytest.TempPathFactory, registry: str, small_base: str, docker_client: docker.DockerClient
) -> Iterator[Real]:
    """A server with an environment, its lock file, ended builds, and an image with an installed kernel."""
    folder = tmp_path_factory.mktemp("contract")
    small = SmallPrefix(folder / "envs" / "small")
    small.add("numbers", files={"share/numbers.txt": b"1"})
    spec = {"argv": ["program", "{connection_file}"], "display_name": uuid.uuid4().hex, "language": "tiny"}
    small.add("tinykernel", files={"share/jupyter/kernels/tiny/kernel.json": json.dumps(spec).encode()})
    home = Home(folder / "home", {"store_dir": str(folder / "store"), "base_image": "oci-archive:/no/such/base.tar"})
    home.path.mkdir()
    shutil.copyfile(small_base.removeprefix("oci-archive:"), home.path / "base.tar")
    id, _ = finished(home.state, 10_000)
    spare, _ = finished(home.state, 10)
    with Server(home) as server:
        answer = server.client.post("condabuild/snapshots", json={"prefix": str(small.path)})
        digest = answer.raise_for_status().json()["digest"]
        saved = server.post({"prefix": str(small.path), "archive": "saved.tar", "base": "oci-archive:base.tar"}).json()[
            "id"
        ]
        until(lambda: server.build(saved)["state"] == "finished")
        image = server.build(saved)["result"]["digest"]
        seen = {"reference": "oci-archive:saved.tar", "seen": image}
        kernel = server.client.post("condabuild/kernels", json=seen).raise_for_status().json()["kernels"][0]["name"]
        server.client.post("condabuild/runs", json=seen).raise_for_status()
        until(lambda: server.client.get("condabuild/runs").json()["runs"][0]["state"] == "ended")
        yield Real(server, str(small.path), digest, id, registry, spare, saved, image, kernel)

        def all_ended() -> bool:
            builds = server.client.get("condabuild/builds?limit=1000").raise_for_status().json()["builds"]
            living = [build["id"] for build in builds if build["state"] in ("queued", "running")]
            for id in living:
                server.client.delete(f"condabuild/builds/{id}").raise_for_status()
            return not living

        until(all_ended)


def test_the_contract_is_a_valid_document() -> None:
    """The contract is valid by OpenAPI 3.1."""
    validate(yaml.safe_load(CONTRACT.read_text()))


def kinds() -> Iterator[tuple[str, GenerationMode]]:
    """Valid cases of every operation, and invalid cases of the operations with input."""
    for label, operation in OPERATIONS.items():
        yield label, GenerationMode.POSITIVE
        if operation.body or operation.path_parameters or operation.query:
            yield label, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("label", "mode"), list(kinds()))
def test_no_request_breaks_the_contract(real: Real, label: str, mode: GenerationMode) -> None:
    """No answer has a status of 5xx, or an undocumented status, type or form. An invalid request is refused."""
    operation = OPERATIONS[label]
    examples = FEW.get(label, EXAMPLES) if mode == GenerationMode.POSITIVE else EXAMPLES

    @seed(1)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode), st.integers(0, 5))
    def ask(case: schemathesis.Case, chance: int) -> None:
        if mode == GenerationMode.POSITIVE and chance == 0:
            _make_real(case, real)
        response = case.call(
            base_url=str(real.server.client.base_url).rstrip("/"),
            headers={"Authorization": f"token {TOKEN}"},
            timeout=60,
        )
        asked[label, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    ask()


def _make_real(case: schemathesis.Case, real: Real) -> None:
    """Fills the ids of existing objects into a case. Its other values stay."""
    body: Any = case.body
    path = case.operation.path
    if path.endswith("/diffs"):
        body |= {"before": {"prefix": real.prefix}, "after": {"lockfile": real.digest}}
    elif path.endswith(("/licenses", "/stamps")):
        case.body = {"prefix": real.prefix}
    elif "/lockfiles/" in path and isinstance(body, dict):
        body |= {"folder": "exported", "replace": True}
    elif path.endswith("/permissions"):
        case.body = {"reference": f"{real.registry}/contract/env:v1"}
    elif path.endswith("/inspections"):
        case.body = {"reference": "oci-archive:saved.tar"}
    elif path.endswith(("/kernels", "/runs")):
        case.body = {"reference": "oci-archive:saved.tar", "seen": real.image}
        if isinstance(case.query, dict) and case.method == "DELETE":
            case.query["name"] = real.kernel
    elif path.endswith("/recreations"):
        case.body = {"reference": "oci-archive:saved.tar", "seen": real.image, "target": "envs/recreated"}
    elif path.endswith("/checks"):
        case.body = {"build": real.saved}
    elif path.endswith("/logins"):
        fill = {"POST": body, "DELETE": case.query}.get(case.method)
        if isinstance(fill, dict):
            fill["registry"] = real.registry
    elif path.endswith(("/snapshots", "/exports", "/builds")) and isinstance(body, dict):
        if body.get("command", "build") in ("build", "base"):
            source = "lockfile" if "lockfile" in body else "prefix"
            for name in SOURCES:
                body.pop(name, None)
            body[source] = real.digest if source == "lockfile" else real.prefix
        if path.endswith("/builds"):
            body |= {"reference": "localhost:1/no/such:image"}
            if body.get("command") != "verify":
                body |= {"base": "oci-archive:/no/such/base.tar"}
        if path.endswith("/builds") and body.get("command", "build") == "build":
            body |= {"archive": "out.tar", "include": "", "cache_from": [], "engine": "layers"}
            body |= {"push": False, "load": False, "reference": ""}
        if path.endswith("/exports"):
            # With a digest, no registry is asked. Other kinds of files need a name that a build can have.
            by_digest = body.get("kind") in ("jupyterhub", "jupyter-scheduler", "binder")
            name = f"@sha256:{'0' * 64}" if by_digest else ":v1"
            body |= {"reference": f"registry.lab.org/team/env{name}", "installer_image": "", "replace": True}
            if "folder" in body:
                body["folder"] = "exported"
        if path.endswith("/snapshots"):
            body |= {"reference": "", "cache_from": [], "installer_image": ""}
    build = (
        real.last("runs")
        if "/runs/" in path
        else real.last("recreations")
        if "/recreations/" in path
        else real.last("checks")
        if "/checks/" in path
        else real.spare
        if case.method == "DELETE"
        else real.saved
        if path.endswith("/archive")
        else real.build
    )
    for name, value in (("id", build), ("digest", real.digest)):
        if case.path_parameters and name in case.path_parameters:
            case.path_parameters[name] = value


def test_every_operation_got_enough_requests() -> None:
    """There were at least a thousand requests, and every operation that can succeed has succeeded."""
    if not asked:
        pytest.skip("the other tests of this module did not run")
    assert sum(asked.values()) >= 1000
    succeeded = {label for label, status in asked if status < 300}
    assert succeeded == set(OPERATIONS), asked
