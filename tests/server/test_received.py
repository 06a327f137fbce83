"""Images that others have shared, over REST: what is in one, and its kernels in the launcher."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.system import process_tree
from tests.conftest import missing
from tests.parts.builds import Workshop, install, small_channel
from tests.receive.test_kernel_install import tiny_kernel
from tests.server.conftest import Api, until
from tests.server.test_builds import check
from tests.server.test_routes import DIGEST, error_of


@pytest.fixture
def image(workshop: Workshop, registry: str, tmp_path: Path, docker_client: docker.DockerClient) -> str:
    """An image with a kernel, in the registry."""
    reference = f"{registry}/received-{uuid.uuid4().hex}/env:v1"
    channel = small_channel(tmp_path / "channel", [tiny_kernel()])
    workshop.build(install(tmp_path / "env", channel, "tinykernel"), reference=reference, push=True)
    return reference


async def launcher(api: Api) -> set[str]:
    """Returns the names of the kernelspecs that JupyterLab shows."""
    return set((await api("GET", "api/kernelspecs")).json["kernelspecs"])


async def test_a_kernel_comes_from_a_reference_and_goes(api: Api, image: str) -> None:
    """The image is described; the digest of the description installs the kernel, and no other digest does.

    The launcher has the kernel at once. Kernelspecs of others cannot be removed.
    """
    seen = await api("POST", "condabuild/inspections", {"reference": image})
    check(seen.json, "Inspection")
    assert seen.json["packages"] == [{"manager": "conda", "name": "tinykernel", "version": "1"}]
    assert seen.json["signature"] == "unsigned"
    assert 0 < seen.json["missing"] <= seen.json["size"]  # the engine may have the base
    wrong = await api("POST", "condabuild/kernels", {"reference": image, "seen": DIGEST})
    assert (wrong.status, error_of(wrong)) == (422, "usage")
    assert "is not the image that you have seen" in wrong.json["message"]
    before = await launcher(api)
    done = await api("POST", "condabuild/kernels", {"reference": image, "seen": seen.json["digest"]})
    assert done.status == 200, done.body
    check(done.json, "ImageKernels")
    [kernel] = done.json["kernels"]
    assert kernel["title"] == image.partition("/")[2]
    assert await launcher(api) - before == {kernel["name"]}
    assert (await api("GET", "condabuild/kernels")).json == {"kernels": [kernel]}
    other = next(iter(before))
    assert (await api("DELETE", f"condabuild/kernels?name={other}")).status == 404
    removed = await api("DELETE", f"condabuild/kernels?name={kernel['name']}")
    assert removed.json == {"name": kernel["name"], "reference": image}
    assert await launcher(api) == before


async def test_a_long_installation_is_waited_for_by_several_requests(
    api: Api, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is so long that a proxy ends it. The last one gets the result of the one installation."""
    found = await api("POST", "condabuild/inspections", {"reference": image})
    [extension] = api.app.extension_manager.extension_apps["jupyter_condabuild"]
    monkeypatch.setattr(extension._service.image_kernels, "_answer", 0.05)
    answers: list[Any] = []
    while not answers or answers[-1].status == 202:
        answers.append(await api("POST", "condabuild/kernels", {"reference": image, "seen": found.json["digest"]}))
    assert [answer.status for answer in answers[:-1]] == [202] * (len(answers) - 1)
    assert len(answers) > 1
    assert answers[-1].status == 200
    assert [answer.json for answer in answers[:-1]] == [{"kernels": []}] * (len(answers) - 1)


async def test_an_image_without_jupyterlab_does_not_run(api: Api, image: str) -> None:
    """The reason stays readable until the run is removed from the list."""
    found = (await api("POST", "condabuild/inspections", {"reference": image})).json
    run = await api("POST", "condabuild/runs", {"reference": image, "seen": found["digest"]})
    assert run.status == 201
    check(run.json, "Run")
    view = await until(lambda: ended(api, run.json["id"]))
    check(view, "Run")
    assert "lacks the package jupyterlab" in view["fault"]["message"]
    assert (await api("DELETE", f"condabuild/runs/{view['id']}")).json == view
    assert (await api("GET", "condabuild/runs")).json == {"runs": []}


async def ended(api: Api, id: str) -> Any:
    """Returns a run after its end; False before."""
    [run] = [one for one in (await api("GET", "condabuild/runs")).json["runs"] if one["id"] == id]
    return run["state"] == "ended" and run


async def test_without_an_engine_an_image_runs_in_a_sandbox(
    api: Api, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The description says which ways there are. A client chooses the sandbox, and the digest is checked as before."""
    if not shutil.which("bwrap"):
        missing("bubblewrap is not installed")
    inspection = {"reference": image}
    assert (await api("POST", "condabuild/inspections", inspection)).json["ways"] == ["engine", "bubblewrap"]
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    seen = (await api("POST", "condabuild/inspections", inspection)).json
    check(seen, "Inspection")
    assert (seen["ways"], seen["missing"]) == (["bubblewrap"], None)
    sandboxed = {"reference": image, "seen": seen["digest"], "without_engine": True}
    wrong = await api("POST", "condabuild/kernels", {**sandboxed, "seen": DIGEST})
    assert "is not the image that you have seen" in wrong.json["message"]
    store = Path(api.app.config.CondaBuild.store_dir)
    assert not (store / "unpacked").exists()
    done = await api("POST", "condabuild/kernels", sandboxed)
    assert done.status == 200, done.body
    check(done.json, "ImageKernels")
    [kernel] = done.json["kernels"]
    assert kernel["way"] == "bubblewrap"
    assert (store / "unpacked").is_dir()
    await api("DELETE", f"condabuild/kernels?name={kernel['name']}")
    id = (await api("POST", "condabuild/runs", sandboxed)).json["id"]
    fault = (await until(lambda: ended(api, id)))["fault"]
    assert (fault["code"], "lacks the package jupyterlab" in fault["message"]) == ("usage", True)  # no engine was asked
    monkeypatch.setenv("PATH", "/nowhere")
    assert (await api("POST", "condabuild/inspections", inspection)).json["ways"] == []


async def test_an_environment_is_recreated_below_the_root_folder(api: Api, image: str, jp_root_dir: Path) -> None:
    """The digest and the folder are checked. The view says how it ended, and how the environment is activated."""
    seen = (await api("POST", "condabuild/inspections", {"reference": image})).json["digest"]
    body = {"reference": image, "seen": seen, "target": "envs/new"}
    for target, status in (("../new", 400), (".", 400), ("envs/a b", 422)):
        assert (await api("POST", "condabuild/recreations", {**body, "target": target})).status == status
    [extension] = api.app.extension_manager.extension_apps["jupyter_condabuild"]
    settings = extension._service._settings
    extension._service._settings = replace(settings, allow_prefixes=(str(jp_root_dir / "allowed"),))
    wrong = await api("POST", "condabuild/recreations", body)
    assert (wrong.status, error_of(wrong)) == (403, "prefix_not_allowed")
    extension._service._settings = settings
    failed = await recreated(api, {**body, "seen": DIGEST})
    assert (failed["state"], failed["fault"]["code"]) == ("failed", "usage")
    assert not os.listdir(jp_root_dir)
    view = await recreated(api, body)
    new = jp_root_dir / "envs/new"
    assert (view["state"], view["fault"], view["activate"]) == ("finished", None, f"conda activate {new}")
    assert view["add_kernel"] == ""  # it has no ipykernel
    assert (new / "share/jupyter/kernels/tiny/kernel.json").is_file()
    assert [path.name for path in new.parent.iterdir()] == ["new"]
    again = await api("POST", "condabuild/recreations", body)
    assert (again.status, "is there already" in again.json["message"]) == (422, True)
    assert (await api("DELETE", f"condabuild/recreations/{view['id']}")).json == view
    assert (await api("DELETE", f"condabuild/recreations/{view['id']}")).status == 404


async def recreated(api: Api, body: object) -> Any:
    """Makes an environment of an image, and returns its view after the end."""
    started = await api("POST", "condabuild/recreations", body)
    assert started.status == 201, started.body
    check(started.json, "Recreation")

    async def ended() -> Any:
        views = (await api("GET", "condabuild/recreations")).json["recreations"]
        [view] = [one for one in views if one["id"] == started.json["id"]]
        return view["state"] != "running" and view

    view = await until(ended)
    check(view, "Recreation")
    return view


async def test_nothing_stays_of_an_environment_that_is_cancelled_or_killed(
    api: Api, image: str, jp_root_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends while it reads a package. The folder above the environment goes, too, if it was made for it."""
    seen = (await api("POST", "condabuild/inspections", {"reference": image})).json["digest"]
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "empty"))
    [archive] = (tmp_path / "channel").rglob("tinykernel*.conda")
    archive.unlink()
    os.mkfifo(archive)  # whoever reads it waits
    [extension] = api.app.extension_manager.extension_apps["jupyter_condabuild"]

    async def started() -> tuple[str, Any]:
        body = {"reference": image, "seen": seen, "target": "envs/new"}
        id = (await api("POST", "condabuild/recreations", body)).json["id"]

        async def view() -> Any:
            views = (await api("GET", "condabuild/recreations")).json["recreations"]
            return next(one for one in views if one["id"] == id)

        async def fetches() -> bool:
            return (await view())["step"] == "fetch"

        await until(fetches)
        [part] = (jp_root_dir / "envs").iterdir()
        assert part.name.startswith(".new.")
        return id, view

    id, view = await started()
    again = await api("POST", "condabuild/recreations", {"reference": image, "seen": seen, "target": "envs/new"})
    assert (again.status, "is being made" in again.json["message"]) == (422, True)
    assert (await api("DELETE", f"condabuild/recreations/{id}")).json["state"] == "cancelled"
    assert not os.listdir(jp_root_dir)
    id, view = await started()
    (jp_root_dir / "envs/.new.0123abcd").mkdir()  # somebody else's
    (jp_root_dir / "envs/.new.0123abcd/file").touch()
    process_tree.kill_group(extension._service.recreations._known[id].child.process.pid)

    async def ended() -> Any:
        found = await view()
        return found["state"] != "running" and found

    killed = await until(ended)
    assert (killed["state"], killed["fault"]["code"]) == ("failed", "error")
    assert [path.name for path in (jp_root_dir / "envs").iterdir()] == [".new.0123abcd"]
    assert [path.name for path in (jp_root_dir / "envs/.new.0123abcd").iterdir()] == ["file"]
