"""The programs in /.singularity.d start the image as an engine would. A value of the image is never shell code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.oci.image import ImageConfig
from jupyter_condabuild.oci.sif.scripts import scripts

NASTY = "a'b\"c $(touch owned) `touch owned` \\ \n$HOME ;&|<>*"


def texts(**runtime: Any) -> dict[str, str]:
    config = {"architecture": "amd64", "config": runtime, "rootfs": {"type": "layers", "diff_ids": []}}
    return dict(scripts(ImageConfig.parse(json.dumps(config).encode())))


def started(folder: Path, *words: str, **runtime: Any) -> list[str]:
    """Returns the words with which the runscript starts a program. The entrypoint or command is printf."""
    (folder / "runscript").write_text(texts(**runtime)["runscript"])
    done = subprocess.run(["/bin/sh", folder / "runscript", *words], capture_output=True, check=True, cwd=folder)
    assert not (folder / "owned").exists()
    return done.stdout.decode().split("\0")[:-1]


PRINTF = ["/usr/bin/printf", "%s\\0"]


def test_the_runscript_starts_the_entrypoint_with_the_command_or_with_the_given_words(tmp_path: Path) -> None:
    """Given words replace the command, not the entrypoint. No word is read by a shell."""
    assert started(tmp_path, Entrypoint=[*PRINTF, NASTY], Cmd=["one", NASTY]) == [NASTY, "one", NASTY]
    assert started(tmp_path, "two", NASTY, Entrypoint=PRINTF, Cmd=["one"]) == ["two", NASTY]
    assert started(tmp_path, Cmd=[*PRINTF, "", NASTY]) == ["", NASTY]
    assert started(tmp_path, *PRINTF, "x", Cmd=["/bin/false"]) == ["x"]
    assert started(tmp_path, Entrypoint=[*PRINTF, "x"]) == ["x"]


def test_an_image_without_a_command_starts_a_shell(tmp_path: Path) -> None:
    """As Docker does not start such an image at all, Apptainer gives a shell."""
    (tmp_path / "runscript").write_text(texts()["runscript"])
    done = subprocess.run(["/bin/sh", tmp_path / "runscript"], input="echo inside\n", capture_output=True, text=True)
    assert done.stdout == "inside\n"


def test_a_server_listens_on_this_machine_only(tmp_path: Path) -> None:
    """A container of Apptainer has the network of the host, so the command's 0.0.0.0 becomes 127.0.0.1."""
    assert started(tmp_path, Cmd=[*PRINTF, "--ip=0.0.0.0"]) == ["--ip=127.0.0.1"]


def variables(folder: Path, environ: dict[str, str], **runtime: Any) -> dict[str, str]:
    """Returns the variables after all scripts of the environment, as Apptainer reads them."""
    lines = []
    for path, text in sorted(texts(**runtime).items()):
        if path.startswith("env/"):
            (folder / Path(path).name).write_text(text)
            lines.append(f". ./{Path(path).name}\n")
    done = subprocess.run(
        ["/bin/sh", "-c", "".join([*lines, "exec /usr/bin/env -0"])], capture_output=True, env=environ, cwd=folder
    )
    assert done.stderr == b""
    assert not (folder / "owned").exists()
    return dict(item.split("=", 1) for item in done.stdout.decode().split("\0")[:-1])


def test_the_variables_of_the_image_are_set(tmp_path: Path) -> None:
    """Every value arrives as it is. The image's PATH replaces that of the host; other variables of the user stay."""
    env = ["PATH=/opt/env/bin:/bin", f"NASTY={NASTY}", "LANG=C.UTF-8", "EMPTY=", "1BAD=x", "x;touch owned=1", "ALONE"]
    found = variables(tmp_path, {"PATH": "/host", "LANG": "de"}, Env=env)
    assert {name: found.get(name) for name in ("PATH", "NASTY", "LANG", "EMPTY", "ALONE")} == {
        "PATH": "/opt/env/bin:/bin",
        "NASTY": NASTY,
        "LANG": "de",
        "EMPTY": "",
        "ALONE": None,
    }
    assert found["PYTHONNOUSERSITE"] == "1"
    assert found["LD_LIBRARY_PATH"] == "/.singularity.d/libs"


@pytest.mark.parametrize("name", sorted(path for path in texts() if path != "startscript"))
def test_every_script_is_valid_shell(name: str, tmp_path: Path) -> None:
    """A shell that only reads the script finds no error."""
    (tmp_path / "script").write_text(texts(Env=[f"X={NASTY}"], Cmd=[NASTY])[name])
    subprocess.run(["/bin/sh", "-n", tmp_path / "script"], check=True)
