"""The exported files for JupyterHub, jupyter-scheduler and Binder work with the real packages."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from traitlets.config import Config, PyFileConfigLoader

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.jobs.export import ExportInputs, export, run
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.others import ExportRequest
from tests.engines.test_dockerfile import conda, lockfile
from tests.parts.jobs import silent

IMAGE = "registry.lab.org/team/env@sha256:" + "a" * 64


def files(kind: str, image: str = IMAGE) -> dict[str, str]:
    """Returns the texts of the exported files."""
    inputs = ExportInputs(lockfile(), Reference.parse(image), "debian:bookworm-slim", "micromamba")
    return dict(export(kind, inputs).files)


def written(folder: Path, texts: dict[str, str]) -> Path:
    """Writes files into a folder, and returns the folder."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("kind", "packages", "missing"),
    [
        ("jupyterhub", ("jupyterlab",), "jupyterhub"),
        ("binder", ("jupyterhub",), "jupyterlab"),
        ("jupyter-scheduler", (), "ipykernel"),
    ],
)
def test_an_environment_that_the_program_cannot_start_is_refused(
    kind: str, packages: tuple[str, ...], missing: str, tmp_path: Path
) -> None:
    """The missing package is named, also before the first build: the registry does not have the image yet."""
    (tmp_path / "lock.yml").write_text(dump(lockfile(*(conda(name, version="1.0") for name in packages))))
    name = Reference.parse("localhost:1/no/such:image")
    request = ExportRequest(kind=kind, lockfile=tmp_path / "lock.yml", reference=name)
    with pytest.raises(UsageError, match=f"has no {missing}") as refused:
        run(request, silent)
    assert f"Install {missing}" in refused.value.hint


CLUSTER = """\
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: nobody}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
"""
"""A cluster that does not exist. KubeSpawner reads the address of a cluster before it makes a pod."""


def test_the_pods_of_a_hub_start_the_image_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KubeSpawner makes a valid pod of the profile for a hub, and of the profile for the chart Zero to JupyterHub."""
    from kubernetes_asyncio.config import kube_config

    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "cluster.yaml"))
    folder = written(tmp_path, files("jupyterhub"))
    config = PyFileConfigLoader("jupyterhub_image.py", str(folder)).load_config()
    (values,) = yaml.safe_load((folder / "zero-to-jupyterhub.yaml").read_text())["singleuser"]["profileList"]
    chart = Config({"KubeSpawner": {"profile_list": [values]}})
    for given, folder_in_pod in ((config, "/work"), (chart, "/home/jovyan")):
        pod = asyncio.run(_pod(given))
        kubernetes_validate.validate(pod, "1.31", strict=True)
        (container,) = pod["spec"]["containers"]
        assert container["image"] == IMAGE
        assert container["args"][0] == "jupyterhub-singleuser"
        assert container["workingDir"] == folder_in_pod


async def _pod(config: Config) -> dict[str, Any]:
    """Returns the pod that KubeSpawner makes for a user who chose the only profile."""
    from kubernetes_asyncio.client import ApiClient
    from kubespawner import KubeSpawner

    spawner = KubeSpawner(_mock=True, config=config)
    spawner.user_options = {"profile": "condabuild"}
    await spawner.load_user_options()
    made = await spawner.get_pod_manifest()
    async with ApiClient() as client:
        pod: dict[str, Any] = client.sanitize_for_serialization(made)
    return pod


def test_binder_builds_from_the_exported_dockerfile(tmp_path: Path, packages: Path) -> None:
    """repo2docker chooses the Dockerfile before all other ways to build, and takes it as it is."""
    texts = files("binder")
    folder = written(tmp_path, {**texts, "environment.yml": "name: other\n", "requirements.txt": "numpy\n"})
    program = (
        "from repo2docker.app import Repo2Docker\n"
        "packs = (pack(base_image='x') for pack in Repo2Docker().buildpacks)\n"
        "print(next(pack.render() for pack in packs if pack.detect()), end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == texts[".binder/Dockerfile"], done.stderr
    assert done.stdout.splitlines()[1] == f"FROM {IMAGE}"
