"""A client can use the environments of this server's kernels, and the conda prefixes in allowed folders."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelSpecManager, GatewayMappingKernelManager
from jupyter_server.serverapp import ServerApp

from jupyter_condabuild.errors import NotACondaKernel
from jupyter_condabuild.server import lockfiles
from jupyter_condabuild.server.kernels import Kernels
from jupyter_condabuild.server.lockfiles import Lockfiles
from tests.parts.small_prefix import SmallPrefix
from tests.server.conftest import Api
from tests.server.test_routes import DIGEST, error_of


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with the environment `lab/envs/one`."""
    SmallPrefix(tmp_path / "lab" / "envs" / "one").add("numbers", files={"lib/numbers.txt": b"1"})
    return tmp_path / "lab"


def taking(source: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Each kind of request for an environment."""
    return [
        ("snapshots", source),
        ("stamps", source),
        ("builds", source),
        ("builds", {**source, "command": "base", "reference": "registry.lab.org/team/env:v1"}),
        ("exports", {**source, "kind": "dockerfile"}),
        ("diffs", {"before": source, "after": source}),
    ]


async def started(api: Api, name: str) -> str:
    """Returns the id of a new kernel."""
    answer = await api("POST", "api/kernels", {"name": name})
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


async def test_the_environment_of_a_running_kernel_is_found(api: Api, kernelspec: str, kernel_prefix: Path) -> None:
    """Kernel and kernelspec give the prefix and the environment. A kernel that has ended is not found."""
    kernel = await started(api, kernelspec)
    found = (await api("GET", "condabuild/environments")).json
    expected = {"prefix": str(kernel_prefix), "environment": "analysis", "fault": None}
    about = {"name": "analysis", "display_name": "Analysis"}
    assert found["kernels"] == [{"id": kernel, **about, **expected}]
    assert {**about, **expected} in found["kernelspecs"]
    snapshot = await api("POST", "condabuild/snapshots", {"kernel_id": kernel})
    assert (snapshot.status, snapshot.json["prefix"]) == (200, str(kernel_prefix))

    await api("DELETE", f"api/kernels/{kernel}")
    assert (await api("GET", "condabuild/environments")).json["kernels"] == []
    gone = await api("POST", "condabuild/snapshots", {"kernel_id": kernel})
    assert (gone.status, error_of(gone)) == (404, "not_found")


async def test_the_report_names_what_the_kernel_imports_from_elsewhere(
    api: Api, kernelspec: str, jp_data_dir: Path, tmp_path: Path
) -> None:
    """The variables are those of the running kernel, or else those of the kernelspec. A build may leave a place out."""
    file = jp_data_dir / "kernels" / kernelspec / "kernel.json"
    spec = json.loads(file.read_text())
    spec["env"] = {"PYTHONPATH": str(tmp_path / "running")}
    for name in ("running", "spec"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text("1\n")
    file.write_text(json.dumps(spec))
    kernel = await started(api, kernelspec)
    spec["env"] = {"PYTHONPATH": str(tmp_path / "spec")}
    file.write_text(json.dumps(spec))
    for source, place in (({"kernel_id": kernel}, "running"), ({"kernel_name": kernelspec}, "spec")):
        answer = (await api("POST", "condabuild/snapshots", source)).json
        (found,) = [item["message"] for item in answer["warnings"] if item["code"] == "outside-prefix"]
        assert f"Python imports from {tmp_path / place} (PYTHONPATH)" in found
        (listed,) = answer["outside"]
        assert listed == {
            "path": str(tmp_path / place),
            "kind": "pythonpath",
            "source": "PYTHONPATH",
            "link": "",
            "state": "left",
            "files": 1,
            "bytes": 2,
            "complete": True,
            "packages": [],
        }
        without = {**source, "without_outside": [str(tmp_path)]}
        answer = (await api("POST", "condabuild/snapshots", without)).json
        assert answer["outside"] == [{**listed, "state": "excluded"}]
        assert "outside-prefix" not in [item["code"] for item in answer["warnings"]]


async def test_a_kernel_without_conda_has_a_reason(api: Api, jp_data_dir: Path, tmp_path: Path) -> None:
    """The list and the answer to a request contain the reason."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {os.path.dirname(sys.executable)}\n")
    python.symlink_to(sys.executable)
    folder = jp_data_dir / "kernels" / "bare"
    folder.mkdir(parents=True)
    spec = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Bare"}
    (folder / "kernel.json").write_text(json.dumps({**spec, "language": "python"}))
    specs = (await api("GET", "condabuild/environments")).json["kernelspecs"]
    (bare,) = [spec for spec in specs if spec["name"] == "bare"]
    assert (bare["prefix"], bare["fault"]["code"]) == (None, "not_a_conda_kernel")
    answer = await api("POST", "condabuild/snapshots", {"kernel_name": "bare"})
    assert (answer.status, error_of(answer)) == (422, "not_a_conda_kernel")
    assert "interpreter" in answer.json["message"]
    unknown = await api("POST", "condabuild/snapshots", {"kernel_name": "../bare"})
    assert (unknown.status, error_of(unknown)) == (404, "not_found")


async def test_the_process_id_of_another_machine_is_not_used(
    api: Api, kernelspec: str, jp_serverapp: ServerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provisioner of a remote kernel has a process id too. This machine may have a process with this id."""
    kernel = await started(api, kernelspec)
    manager = jp_serverapp.kernel_manager.get_kernel(kernel)
    with monkeypatch.context() as patch:
        patch.setattr(manager, "provisioner", SimpleNamespace(pid=manager.provisioner.pid))
        answer = await api("POST", "condabuild/snapshots", {"kernel_id": kernel})
    assert (answer.status, error_of(answer)) == (422, "not_a_conda_kernel")
    assert "another machine" in answer.json["message"]


async def test_the_kernels_of_a_gateway_are_refused(
    api: Api, kernelspec: str, kernel_prefix: Path, jp_serverapp: ServerApp
) -> None:
    """The gateway is another Jupyter server. The paths in its kernelspecs are paths on its machine."""
    gateway = GatewayClient.instance()
    gateway.url = f"http://127.0.0.1:{api.port}{jp_serverapp.base_url.rstrip('/')}"
    gateway.auth_token = jp_serverapp.identity_provider.token
    try:
        kernels = GatewayMappingKernelManager(parent=jp_serverapp)
        elsewhere = Kernels(kernels, GatewayKernelSpecManager(parent=jp_serverapp), [])
        kernel = await kernels.start_kernel(kernel_name=kernelspec)
        found = await elsewhere.environments()
        with pytest.raises(NotACondaKernel, match="another machine"):
            await elsewhere.prefix({"kernel_id": kernel})
        with pytest.raises(NotACondaKernel, match="gateway"):
            await elsewhere.prefix({"kernel_name": kernelspec})
        assert [row["id"] for row in found["kernels"]] == [kernel]
        assert kernelspec in [row["name"] for row in found["kernelspecs"]]
        assert {row["prefix"] for row in found["kernels"] + found["kernelspecs"]} == {None}
        await kernels.shutdown_kernel(kernel)
    finally:
        GatewayClient.clear_instance()


async def test_a_kernel_of_another_server_is_refused(api: Api, kernelspec: str, kernel_prefix: Path) -> None:
    """A process number, or an id that this server never gave, is not a kernel."""
    for id in ("1", str(os.getpid()), "00000000-0000-0000-0000-000000000000", "../../x", "x" * 100_000):
        answer = await api("POST", "condabuild/snapshots", {"kernel_id": id})
        assert (answer.status, error_of(answer)) == (404, "not_found")
        assert len(answer.body) < 1000


async def test_paths_that_are_no_environments_are_refused(api: Api, lab: Path) -> None:
    """Relative paths, files, folders without conda-meta, too long names, devices and broken links are refused."""
    (lab / "loop").symlink_to(lab / "loop")
    (lab / "nowhere").symlink_to("/no/such/place")
    (lab / "file").write_text("")
    for path in (
        "lab/envs/one",
        ".",
        "~",
        "/",
        str(lab),
        f"{lab}/file",
        f"{lab}/loop",
        f"{lab}/nowhere",
        f"{lab}/envs/one/conda-meta",
        f"{lab}/envs/one/lib/numbers.txt",
        f"{lab}/{'x' * 300}",
        "/" + "x/" * 3000,
        "/proc/self/environ",
        "/dev/zero",
        "file:///etc",
        "$(touch /tmp/pwned)",
        f"{lab}/\x1b[31m\n",
    ):
        for route, body in taking({"prefix": path}):
            answer = await api("POST", f"condabuild/{route}", body)
            assert (answer.status, error_of(answer)) == (404, "not_a_prefix"), path
            assert len(answer.body) < 1000
            assert answer.json["message"].isprintable()


class TestWithAllowedPrefixes:
    """A server with the setting allow_prefixes."""

    @pytest.fixture
    def config(self, server_store: Path, tmp_path: Path, lab: Path) -> dict[str, Any]:
        """Only environments in lab/envs are allowed."""
        return {"store_dir": str(server_store), "allow_prefixes": [str(tmp_path / "lab" / "envs")]}

    async def test_only_environments_in_allowed_folders_are_built(
        self, api: Api, lab: Path, tmp_path: Path, kernelspec: str
    ) -> None:
        """Dots, links out of the folder, a folder with a similar name and a kernel are refused."""
        other = SmallPrefix(tmp_path / "private" / "env")
        other.add("secrets")
        shutil.copytree(other.path, lab / "envs-more")
        (lab / "envs" / "out").symlink_to(other.path)
        (lab / "in").symlink_to(lab / "envs" / "one")
        refused = (
            {"prefix": str(other.path)},
            {"prefix": f"{lab}/envs/../../private/env"},
            {"prefix": f"{lab}/envs/one/../../../private/env"},
            {"prefix": str(lab / "envs" / "out")},
            {"prefix": str(lab / "envs-more")},
            {"prefix": str(tmp_path / "private" / "not-there")},
            {"prefix": "/"},
            {"kernel_name": kernelspec},
            {"kernel_id": await started(api, kernelspec)},
        )
        for body in refused:
            for route, asked in taking(body):
                answer = await api("POST", f"condabuild/{route}", asked)
                assert (answer.status, error_of(answer)) == (403, "prefix_not_allowed"), body
                assert "allow_prefixes" in answer.json["hint"]
        for path in (lab / "envs" / "one", lab / "in", f"{lab}/envs/../envs/one//"):
            answer = await api("POST", "condabuild/snapshots", {"prefix": str(path)})
            assert (answer.status, answer.json["prefix"]) == (200, str(lab / "envs" / "one")), answer.body
        listed = (await api("GET", "condabuild/environments")).json
        assert {entry["fault"]["code"] for entry in listed["kernels"]} == {"prefix_not_allowed"}


async def test_archives_and_workspace_files_are_inside_the_root_folder(
    api: Api, lab: Path, jp_root_dir: Path, tmp_path: Path
) -> None:
    """Dots, absolute paths and links out of the folder are refused. An archive can only overwrite an archive."""
    (jp_root_dir / "out").symlink_to(tmp_path)
    (jp_root_dir / "folder.tar").mkdir()
    (jp_root_dir / "link.tar").symlink_to(tmp_path / "elsewhere.tar")
    good = {"prefix": str(lab / "envs" / "one")}
    for archive in (
        "../x.tar",
        "/tmp/x.tar",
        "out/x.tar",
        "link.tar",
        "folder.tar",
        "notebook.ipynb",
        "no/such/folder/x.tar",
        "docker-archive:../x.tar",
        "oci:x.tar",
        "oci-archive:/x.tar",
    ):
        answer = await api("POST", "condabuild/builds", {**good, "archive": archive})
        assert (answer.status, error_of(answer)) == (400, "bad_request"), archive
    for include in ("..", "/etc", "out", "out/lab"):
        answer = await api("POST", "condabuild/builds", {**good, "archive": "x.tar", "include": include})
        assert (answer.status, error_of(answer)) == (400, "bad_request"), include
    assert (await api("GET", "condabuild/builds")).json == {"builds": [], "total": 0}


@pytest.mark.parametrize("base", ["oci-archive:/etc/shadow", "oci-archive:/etc", "docker-archive:/no/such", "oci:/"])
async def test_a_base_is_inside_the_root_folder(api: Api, lab: Path, base: str) -> None:
    """A client cannot find out whether a file exists: every path outside has the same answer, for each command."""
    source = {"prefix": str(lab / "envs" / "one")}
    good = {"reference": "registry.lab.org/team/env:v1", "base": base}
    for path, body in (
        ("builds", {**source, **good, "push": True}),
        ("builds", {"command": "rebase", **good}),
        ("builds", {"command": "base", **source, **good}),
        ("snapshots", {**source, "base": base}),
        ("exports", {**source, **good, "kind": "compose"}),
    ):
        for text in (base, base.replace(":/", ":../../../../../../../../")):
            answer = await api("POST", f"condabuild/{path}", {**body, "base": text})
            assert (answer.status, error_of(answer)) == (400, "bad_request"), (path, text)
            assert "root folder" in answer.json["message"]
    for name in ("docker-daemon:../x", "docker-daemon:x?y=z", "docker-daemon:-x"):
        answer = await api("POST", "condabuild/builds", {**source, "archive": "x.tar", "base": name})
        assert (answer.status, error_of(answer)) == (400, "bad_request"), name


def sent(api: Api, id: str) -> Any:
    """Returns the request that the process of a build got."""
    return json.loads(Path(api.app.data_dir, "condabuild", "builds", id, "request.json").read_text())


class TestWithAllowedRegistries:
    """A hub that lists the registries for its users."""

    @pytest.fixture
    def config(self, server_store: Path) -> dict[str, Any]:
        """One registry, and the registries of the lab."""
        return {"store_dir": str(server_store), "allowed_registries": ["registry.example", "*.lab.org"]}

    async def test_every_image_name_is_checked_against_the_list(self, api: Api, lab: Path) -> None:
        """The name is that of an image, base, cache, installer, target, or side of a comparison, or is verified."""
        source = {"prefix": str(lab / "envs" / "one")}
        good, bad = "registry.lab.org/team/env:v1", "127.0.0.1:9/team/env:v1"
        for path, body in (
            ("builds", {**source, "push": True, "reference": bad}),
            ("builds", {**source, "push": True, "reference": good, "base": bad}),
            ("builds", {**source, "push": True, "reference": good, "cache_from": [good, bad]}),
            ("builds", {**source, "push": True, "reference": good, "installer_image": bad}),
            ("builds", {"command": "rebase", "reference": bad, "base": good}),
            ("builds", {"command": "rebase", "reference": good, "base": bad}),
            ("builds", {"command": "rebase", "reference": good, "base": good, "target": bad}),
            ("builds", {"command": "verify", "reference": bad}),
            ("builds", {"command": "verify", "reference": "docker.io/library/debian"}),
            ("snapshots", {**source, "reference": bad}),
            ("diffs", {"before": source, "after": {"reference": bad}}),
            ("licenses", {"reference": bad}),
            ("inspections", {"reference": bad}),
            ("kernels", {"reference": bad, "seen": DIGEST}),
            ("runs", {"reference": bad, "seen": DIGEST}),
        ):
            answer = await api("POST", f"condabuild/{path}", body)
            assert (answer.status, error_of(answer)) == (403, "registry_not_allowed"), (path, body)
        assert (await api("GET", "condabuild/builds")).json == {"builds": [], "total": 0}

    async def test_a_command_gets_the_list(self, api: Api, lab: Path) -> None:
        """So hosts that a registry names later are also checked."""
        body = {"prefix": str(lab / "envs" / "one"), "archive": "x.tar", "base": "registry.example/base:1"}
        id = (await api("POST", "condabuild/builds", body)).json["id"]
        request = sent(api, id)
        assert request["allowed_registries"] == ["registry.example", "*.lab.org"]
        await api("DELETE", f"condabuild/builds/{id}")
        await api.ended(id)


async def test_snapshots_of_one_environment_at_the_same_time_succeed(api: Api, tmp_path: Path) -> None:
    """Each window asks for its own plan. All of them keep the same lock file."""
    small = SmallPrefix(tmp_path / "envs" / "small")
    small.add("numbers")
    bodies = [{"prefix": str(small.path), "cache_from": [f"registry.lab.org/team/env:{n}"]} for n in range(4)]
    answers = await asyncio.gather(*(api("POST", "condabuild/snapshots", body) for body in bodies))
    assert [answer.status for answer in answers] == [200] * 4, [answer.body for answer in answers]
    (digest,) = {answer.json["digest"] for answer in answers}
    assert (await api("GET", f"condabuild/lockfiles/{digest}")).status == 200


def test_lock_files_are_kept_while_other_requests_remove_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that another request has removed in the meantime is no error."""
    monkeypatch.setattr(lockfiles, "MAX_FILES", 2)
    kept = Lockfiles(tmp_path / "state" / "lockfiles")
    lock = {"text": "version: 1\n", "name": "env", "channels": []}
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(kept.keep, f"sha256:{number:064x}", lock) for number in range(400)]:
            done.result()
    assert not [path for path in (tmp_path / "state" / "lockfiles").iterdir() if path.name.startswith(".")]
