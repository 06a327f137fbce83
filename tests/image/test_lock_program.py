"""The program in an image prints the packages in order, whatever their records are like. It needs only sh and sed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.formats.explicit import pip_comments
from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.packages import PYPI, CondaPackage, PipPackage
from jupyter_condabuild.engines.docker.recipe import lock_program
from jupyter_condabuild.image.lock_program import LOCK_PROGRAM
from jupyter_condabuild.image.paths import PIP_LIST, PREFIX

SHA = "ab" * 32
SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]
PIP = (PipPackage("mine", "1.0", index=PYPI), PipPackage("other", "2", url="https://h/other-2.whl", sha256=SHA))


def record(folder: Path, name: str, *depends: str, **fields: object) -> None:
    """Writes a record as the layers have it: one line of compact JSON with sorted keys."""
    path = {"_path": f"lib/{name}", "path_type": "hardlink", "sha256": "cd" * 32, "size_in_bytes": 1}
    value = {"name": name, "version": "1", "build": "0", "depends": list(depends), "files": [f"lib/{name}"]}
    value |= {"paths_data": {"paths": [path], "paths_version": 1}, "sha256": SHA, "subdir": "linux-64"}
    value |= {"url": f"https://h/linux-64/{name}-1-0.conda", "timestamp": 1, **fields}
    value = {key: item for key, item in value.items() if item is not None}
    (folder / "conda-meta").mkdir(exist_ok=True)
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    (folder / f"conda-meta/{name}-1-0.json").write_bytes(data)


def printed(folder: Path, shell: str = "sh") -> str:
    """Runs the program with a folder in the place of the environment, and of the list of pip packages."""
    text = LOCK_PROGRAM.replace(PREFIX, str(folder)).replace(PIP_LIST, str(folder / "pip.txt"))
    run = subprocess.run(
        [shell, "-c", text], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    assert run.stderr == ""
    return run.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_each_package_comes_after_its_dependencies(shell: str, tmp_path: Path) -> None:
    """Virtual packages, circles, and a Python package that does not name python, have no influence on the others."""
    record(tmp_path, "a", "b >=1,<2", "c", "__glibc >=2.17")
    record(tmp_path, "b", "d[version='>=1']", "e 1.*")
    record(tmp_path, "c", "b", "a")
    record(tmp_path, "d")
    record(tmp_path, "e", "d")
    record(tmp_path, "alone", noarch="python", subdir="noarch")
    record(tmp_path, "python", "e")
    text = printed(tmp_path, shell)
    assert text.splitlines()[1] == "@EXPLICIT"
    assert [package.name for package in load(text).conda] == ["a", "alone", "b", "c", "d", "e", "python"]
    lines = text.splitlines()[2:]
    assert all(line.endswith(f"#{SHA}") for line in lines)
    names = [line.rpartition("/")[2].partition("-")[0] for line in lines]
    place = {name: number for number, name in enumerate(names)}
    assert place["d"] < place["e"] < place["b"] < min(place["a"], place["c"])
    assert place["e"] < place["python"] < place["alone"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_package_with_an_odd_record_is_printed(shell: str, tmp_path: Path) -> None:
    """The hash of a file is not taken for the hash of the package. A record from the environment has its size."""
    record(tmp_path, "bare", sha256=None)
    record(tmp_path, "empty", sha256="")
    record(tmp_path, "sized", "empty", size=1000)
    record(tmp_path, "old", depends=None)
    lines = printed(tmp_path, shell).splitlines()[2:]
    assert set(lines) == {
        "https://h/linux-64/bare-1-0.conda",
        "https://h/linux-64/empty-1-0.conda",
        f"https://h/linux-64/sized-1-0.conda#{SHA}",
        f"https://h/linux-64/old-1-0.conda#{SHA}",
    }


def test_pip_packages_are_comments(tmp_path: Path) -> None:
    """They are the comments of our explicit files, which we can read."""
    record(tmp_path, "a")
    (tmp_path / "pip.txt").write_text(pip_comments(PIP))
    assert load(printed(tmp_path)).pip == PIP
    assert "NOT INSTALLED by conda: 2 pip packages" in printed(tmp_path)


def test_an_image_of_the_docker_engine_prints_our_explicit_file() -> None:
    """The program has the whole text."""
    lockfile = of_packages("linux-64", [CondaPackage.of_url("https://h/linux-64/a-1-0.conda", sha256=SHA)], PIP)
    run = subprocess.run(["sh", "-c", lock_program(lockfile)], capture_output=True, text=True, check=True)
    assert run.stdout == dump(lockfile, "explicit")
