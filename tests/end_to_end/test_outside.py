"""Files from outside of an environment that the user asks for: the image finds them as the environment did."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pytest

from jupyter_condabuild.conda.prefix.launch import launch_variables
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.channel import prefix as prefixes
from tests.parts.engines import DockerWorkshop
from tests.parts.jobs import verified

CODE = """
import json, os, sys, colorsys, shadow, only_user, more, relative, tool
LINKED = "models/a.bin", "models/again", "one.bin", "models/deep/b", "latest"
found = [shadow.WHERE, only_user.WHERE, more.WHERE, relative.WHERE, tool.WHERE, getattr(colorsys, "WHERE", "stdlib")]
found += [open(entry + "/shadow.py").read() for entry in sys.path if os.path.isfile(entry + "/shadow.py")]
found += [open(sys.prefix + "/share/" + name).read() for name in LINKED]
print(json.dumps(found))
"""


class Used(NamedTuple):
    """An environment that uses files outside of its prefix, and the variables of its kernel."""

    prefix: Path
    variables: dict[str, str]
    options: dict[str, Any]


@pytest.fixture
def used(tmp_path: Path, channel_url: str, package_cache: Path) -> Used:
    """The same module lies in PYTHONPATH, in the user's site-packages, in the environment and in a .pth folder."""
    home, data = tmp_path / "home/ada", tmp_path / "data"
    prefix = prefixes.create(home / "envs/demo", ["python"], channel_url, package_cache)
    site = snapshot(prefix).site_packages
    user = home / ".local" / site
    folders = {"PYTHONPATH": data / "lib", "user": user, "site": prefix / site, "pth": home / "project"}
    for name, folder in folders.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "shadow.py").write_text(f"WHERE = {name!r}\n")
    for path, name in (
        (data / "lib/colorsys.py", "PYTHONPATH"),
        (user / "only_user.py", "user"),
        (data / "more/more.py", "more.pth of the user"),
        (home / "relative/relative.py", "relative line"),
        (home / "tool/src/tool/__init__.py", "editable"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"WHERE = {name!r}\n")
    (prefix / site / "conda.pth").write_text(f"{home}/project\n{os.path.relpath(home / 'relative', prefix / site)}\n")
    (user / "more.pth").write_text(f"{data}/more\n")
    (user / "__editable__.tool.pth").write_text(f"{home}/tool/src\n")
    info = user / "tool-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
    (info / "RECORD").write_text("__editable__.tool.pth,,\ntool-1.0.dist-info/METADATA,,\n")
    url = {"url": (home / "tool").as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(url))
    models = data / "models"
    (models / "deep").mkdir(parents=True)
    (models / "a.bin").write_text("model")
    (models / "deep/b").write_text("deep")
    (models / "again").symlink_to(models / "a.bin")
    (prefix / "share/models").symlink_to(models)
    (prefix / "share/one.bin").symlink_to(os.path.relpath(models / "a.bin", prefix / "share"))
    (data / "latest").symlink_to(models / "a.bin")
    (prefix / "share/latest").symlink_to(data / "latest")
    variables = {"HOME": str(home), "PYTHONPATH": str(data / "lib")}
    options = {"launch": list(launch_variables((), variables, home)), "include_outside": [str(tmp_path)]}
    return Used(prefix, variables, options)


@pytest.fixture(params=["layers", "docker"])
def image(
    request: pytest.FixtureRequest,
    docker_workshop: DockerWorkshop,
    used: Used,
    base_reference: str,
    docker_client: docker.DockerClient,
) -> Iterator[str]:
    name = f"localhost/outside:{uuid.uuid4().hex}"
    docker_workshop.build(
        used.prefix, reference=name, load=True, engine=request.param, base=base_reference, **used.options
    )
    yield name
    docker_client.images.remove(name, force=True)


def test_the_image_imports_what_the_kernel_imports(used: Used, image: str, docker_client: docker.DockerClient) -> None:
    """Each module comes from the same place, and the places have the same order. Links lead to the same files."""
    command = [used.prefix / "bin/python", "-c", CODE]
    here = subprocess.run(command, env=used.variables, check=True, capture_output=True, text=True, cwd="/").stdout
    there = docker_client.containers.run(image, ["python", "-c", CODE], network_mode="none", remove=True)
    found = json.loads(here)
    assert found[:6] == ["PYTHONPATH", "user", "more.pth of the user", "relative line", "editable", "PYTHONPATH"]
    assert json.loads(there) == found


@pytest.mark.parametrize("engine", ["layers", "docker"])
def test_verify_has_no_objection(docker_workshop: DockerWorkshop, used: Used, base_reference: str, engine: str) -> None:
    """The taken files come from no package, so nothing proves them. They are no sign of another image."""
    image = docker_workshop.image(used.prefix, "verified", engine=engine, base=base_reference, **used.options)
    assert "site-packages/shadow.py" in image.tree("opt/outside")
    found = verified(image.archive, docker_workshop.store)
    assert found.differs == ()
    assert found.unproved
