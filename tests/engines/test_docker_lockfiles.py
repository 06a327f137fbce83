"""The docker engine builds from lock files of other tools: conda's and conda-lock's explicit files."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage, PipPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.docker.build_tools import check_build_tools
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.events import Event, Warning
from jupyter_condabuild.oci.engine import builder
from jupyter_condabuild.oci.engine.daemon import Daemon
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel, serve
from tests.parts.engines import DockerWorkshop


def test_an_explicit_file_of_conda_and_conda_lock_is_built(
    docker_workshop: DockerWorkshop, tmp_path: Path, channel_url: str, package_cache: Path, pip_wheel: Path
) -> None:
    """The conda lines have no hash, and the pip package is a comment. The image has this package, and all hashes."""
    with Daemon.connect() as engine:
        if builder.network(engine) != "host":
            pytest.skip("builds of this engine cannot reach an index on loopback")
    made = prefix.create(tmp_path / "env", ["python", "pip"], channel_url, package_cache)
    locked = lock(snapshot(made))
    lines = ["# platform: linux-64", "@EXPLICIT", *(package.url for package in locked.conda)]
    (tmp_path / "wheels/files").mkdir(parents=True)
    (tmp_path / "wheels/files" / pip_wheel.name).write_bytes(pip_wheel.read_bytes())
    file = tmp_path / "explicit.txt"
    with serve(Channel(tmp_path / "wheels")) as url:
        sha256 = hashlib.sha256(pip_wheel.read_bytes()).hexdigest()
        lines.append(f"# pip humanize @ {url}/files/{pip_wheel.name}#sha256={sha256}")
        file.write_text("\n".join(lines))
        image = docker_workshop.image(file)
    assert [path for path in image.tree() if path.endswith("site-packages/humanize/__init__.py")]
    found = load(image.read("opt/condabuild/conda-lock.yml").decode())
    assert [package.sha256 for package in found.conda] == [package.sha256 for package in locked.conda]
    assert [(package.name, package.sha256) for package in found.pip] == [("humanize", sha256)]
    assert "conda-without-hash" in docker_workshop.warnings


def test_pip_is_one_of_the_conda_packages(tmp_path: Path) -> None:
    """A build without pip would end in a message of Python. git may also be in the installer's image."""
    python = CondaPackage.of_url("https://h/linux-64/python-3.11.7-0.conda", sha256="ab" * 32)
    tools = [CondaPackage.of_url(f"https://h/linux-64/{name}-1-0.conda", sha256="ab" * 32) for name in ("pip", "git")]
    lockfile = of_packages("linux-64", [python], [PipPackage("mine", "1", url="git+https://h/mine@c0ffee")])
    events: list[Event] = []
    with pytest.raises(LockfileError, match=r"has pip packages \(mine\), but it does not have the conda package pip"):
        check_build_tools(lockfile, events.append)
    check_build_tools(replace(lockfile, conda=(python, *tools)), events.append)
    check_build_tools(replace(lockfile, pip=()), events.append)
    assert events == []
    check_build_tools(replace(lockfile, conda=(python, tools[0])), events.append)
    (warning,) = events
    assert isinstance(warning, Warning)
    assert (warning.code, "needs git to install mine" in warning.message) == ("git-needed", True)
