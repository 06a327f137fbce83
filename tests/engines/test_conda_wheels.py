"""A wheel that conda installed is a pip package of the image and of its lock files."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Format
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import PYPI, PipPackage
from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.recipe import Wanted, recipe
from jupyter_condabuild.jobs.diff import compare, locked
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.requests.source import LockfileRequest
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.hostile_python import HONEST
from tests.parts.jobs import verified

SITE = "lib/python3.12/site-packages"
INFO = f"{SITE}/demo_pkg-1.0.dist-info"
FN = "demo_pkg-1.0-py3-none-any.whl"
URL = f"https://files.pythonhosted.org/packages/aa/bb/{FN}"
SHA = "ab" * 32
PACKAGE = PipPackage("demo-pkg", "1.0", url=URL, index=PYPI, sha256=SHA)
FORMATS: list[Format] = ["conda-lock", "pixi", "explicit"]


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment in which conda installed a wheel through conda-pypi, with its files and its record."""
    channel = small_channel(
        tmp_path / "channel",
        [(Metadata("python", "3.12.1"), [File("bin/python", HONEST.encode(), 0o755), File("share/python", b"1")])],
    )
    prefix = install(tmp_path / "env", channel, "python")
    script = f"#!{prefix}/bin/python\n".encode()
    files = {f"{SITE}/demo_pkg.py": b"x = 1\n", f"{INFO}/INSTALLER": b"conda-via-whl", "bin/demo": script}
    files[f"{INFO}/METADATA"] = b"Metadata-Version: 2.1\nName: Demo_Pkg\nVersion: 1.0\n"
    digests = {path: sha256(data) for path, data in files.items()}
    lines = [
        f"{path.removeprefix(SITE + '/')},sha256={base64.urlsafe_b64encode(digest.digest()).decode().rstrip('=')},1"
        for path, digest in digests.items()
        if path != "bin/demo"
    ]
    files[f"{INFO}/RECORD"] = "\n".join([*lines, "../../../bin/demo,,", ""]).encode()
    files[f"{SITE}/__pycache__/demo_pkg.cpython-312.pyc"] = b"compiled"
    for path, data in files.items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_bytes(data)
    record(prefix, files=list(files))
    return prefix


def record(prefix: Path, **fields: object) -> None:
    """Writes or changes the record, which has the form of conda 26.7."""
    path = prefix / "conda-meta/demo-pkg-1.0-py3_none_any_0.json"
    value = json.loads(path.read_bytes()) if path.exists() else {}
    value |= {"name": "demo-pkg", "version": "1.0", "build": "py3_none_any_0", "build_number": 0, "fn": FN}
    value |= {"channel": "https://conda.anaconda.org/conda-pypi/noarch", "subdir": "noarch", "noarch": "python"}
    value |= {"url": URL, "sha256": SHA, "size": 1234, "depends": ["python >=3.9"]}
    value |= {"package_type": "virtual_python_wheel", **fields}
    path.write_text(json.dumps(value))


def test_a_wheel_of_conda_is_a_pip_package(environment: Path) -> None:
    """It has the URL and the hash of its record. No file of it is drift."""
    found = snapshot(environment)
    assert [item.name for item in found.records] == ["python"]
    assert lock(found).pip == (PACKAGE,)
    assert "bin/demo" in found.pip[0].files
    assert not drift(found)
    assert [warning.code for warning in found.warnings] == ["local-channel"]


@pytest.mark.parametrize("format", FORMATS)
def test_lock_files_with_a_wheel_of_conda_are_read_again(format: Format, environment: Path) -> None:
    """Each format names the wheel with its hash."""
    made = lock(snapshot(environment))
    text = dump(made, format)
    assert SHA in text
    again = load(text)
    assert [package.dist for package in again.conda] == ["python-3.12.1-0"]
    assert again.pip == (PACKAGE,)


FIRST = "https://h/noarch/a-1.0-0.conda"
EXPLICIT = f"@EXPLICIT\n{FIRST}#{SHA}\n{URL}#sha256:{SHA}\n"
CONDA_LOCK = f"""\
version: 1
metadata: {{platforms: [linux-64], channels: []}}
package:
  - {{name: a, version: "1.0", manager: conda, platform: linux-64, url: "{FIRST}", hash: {{}}}}
  - {{name: demo-pkg, version: "1.0", manager: conda, platform: linux-64, url: "{URL}", hash: {{sha256: {SHA}}}}}
"""
PIXI = f"""\
version: 6
environments: {{default: {{channels: [], packages: {{linux-64: [conda: "{FIRST}", conda: "{URL}"]}}}}}}
packages: [{{conda: "{FIRST}"}}, {{conda: "{URL}", sha256: {SHA}}}]
"""


@pytest.mark.parametrize("text", [EXPLICIT, CONDA_LOCK, PIXI], ids=["explicit", "conda-lock", "pixi"])
def test_a_wheel_among_the_packages_of_conda_is_a_pip_package(text: str) -> None:
    """conda writes the URL of the wheel between the URLs of conda packages."""
    made = load(text)
    assert [package.dist for package in made.conda] == ["a-1.0-0"]
    assert made.pip == (PACKAGE,)


def test_an_image_with_a_wheel_of_conda_is_verified_and_compared(
    environment: Path, workshop: Workshop, job: JobContext
) -> None:
    """The image has the files of the wheel, and its lock file can be read."""
    image = workshop.image(environment)
    tree = image.tree()
    assert {f"{SITE}/demo_pkg.py", "bin/demo", f"{INFO}/RECORD"} < tree.keys()
    assert "conda-meta/demo-pkg-1.0-py3_none_any_0.json" not in tree
    made = lock(snapshot(environment))
    assert load("@EXPLICIT\n" + image.read("opt/condabuild/pip.txt").decode()).pip == (PACKAGE,)
    assert not compare(made, locked(str(workshop.folder / "image.tar"), LockfileRequest(), job)).changes
    proof = verified(workshop.folder / "image.tar", workshop.store)
    assert proof.differs == ()


def test_pip_installs_the_wheel_in_the_docker_engine(environment: Path) -> None:
    """The requirement has the hash, so that pip checks it."""
    made = recipe(lock(snapshot(environment)), Wanted("base", installer("rattler")))
    assert made.files["requirements.txt"].decode() == f"demo-pkg==1.0 --hash=sha256:{SHA}\n"


def test_odd_records_of_wheels(environment: Path) -> None:
    """Old conda-pypi names the wheel as a conda package, and the URL may have the hash. A channel may be local."""
    record(environment, fn="demo-pkg-1.0-pypi_0.whl", url=f"{URL}#sha256={SHA}", sha256=None)
    assert lock(snapshot(environment)).pip == (PACKAGE,)
    record(environment, url="https://me:s3cret@wheels.lab.org/t/tk-1/" + FN)
    assert lock(snapshot(environment)).pip == (replace(PACKAGE, url=f"https://wheels.lab.org/{FN}", index=""),)
    record(environment, url=f"file:///srv/wheels/{FN}")
    assert lock(snapshot(environment)).pip == (replace(PACKAGE, url=f"file:{FN}", index=""),)
    record(environment, url=None)
    assert lock(snapshot(environment)).pip == (replace(PACKAGE, url=""),)


def test_a_record_of_a_wheel_that_is_gone_counts_no_more(environment: Path) -> None:
    """pip replaced or removed the wheel, and conda's record is stale."""
    (environment / INFO / "INSTALLER").write_text("pip\n")
    assert lock(snapshot(environment)).pip == (replace(PACKAGE, url="", sha256=""),)
    for path in (environment / INFO).iterdir():
        path.unlink()
    (environment / INFO).rmdir()
    assert lock(snapshot(environment)).pip == ()
