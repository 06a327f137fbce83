"""Images that others have shared, over REST: what is in one, and its kernels in the launcher."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import docker
import pytest

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

    async def ended() -> Any:
        [one] = (await api("GET", "condabuild/runs")).json["runs"]
        return one["state"] == "ended" and one

    view = await until(ended)
    check(view, "Run")
    assert "lacks the package jupyterlab" in view["fault"]["message"]
    assert (await api("DELETE", f"condabuild/runs/{view['id']}")).json == view
    assert (await api("GET", "condabuild/runs")).json == {"runs": []}
