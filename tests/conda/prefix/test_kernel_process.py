"""The conda environment of a running kernel is found by its process, for each way to start a kernel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from jupyter_condabuild.conda.prefix.kernel import prefix_of_kernelspec
from jupyter_condabuild.conda.prefix.kernel_process import prefix_of_process
from jupyter_condabuild.errors import NotACondaKernel


@contextmanager
def running(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Iterator[int]:
    """A process that has started its work and waits."""
    with subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=cwd
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


READY = "print('ready', flush=True); input()"


def test_a_running_kernel_is_found_by_its_process(conda_prefix: Path) -> None:
    """The executable counts, with any arguments, also behind a shell or another launcher that waits for it."""
    python = conda_prefix / "bin/python"
    with running(python, "-c", READY) as pid:
        assert prefix_of_process(pid) == conda_prefix
    with running("python", "-c", READY, env={"PATH": str(conda_prefix / "bin")}, cwd=conda_prefix) as pid:
        assert prefix_of_process(pid) == conda_prefix
    with running("sh", "-c", f'{python} -c "{READY}"; true') as pid:
        assert prefix_of_process(pid) == conda_prefix


def test_a_process_in_a_virtual_environment_is_refused(conda_prefix: Path, tmp_path: Path) -> None:
    """Its executable is conda's Python, but its packages are not conda's."""
    subprocess.run(
        [str(conda_prefix / "bin/python"), "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True
    )
    with running(tmp_path / "venv/bin/python", "-c", READY) as pid, pytest.raises(NotACondaKernel, match="virtual env"):
        prefix_of_process(pid)


def test_a_process_without_conda_is_refused(tmp_path: Path) -> None:
    """The message names the interpreter. If the process has ended, the message says so."""
    venv.create(tmp_path / "venv", symlinks=True)
    with running(sys.executable, "-c", READY) as pid, pytest.raises(NotACondaKernel, match="python"):
        prefix_of_process(pid)
    with pytest.raises(NotACondaKernel, match=str(pid)):
        prefix_of_process(pid)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


CONDA = """\
#!{python}
import subprocess, sys
subprocess.run(["bash", sys.argv[0] + ".sh", *sys.argv[4:]])
"""


@pytest.mark.parametrize("run_in", ["demo", "gone"])
def test_the_process_behind_conda_run_counts(conda_prefix: Path, tmp_path: Path, run_in: str) -> None:
    """conda run is a Python script that starts a shell. The shell starts the kernel. The options do not count."""
    conda = script(tmp_path / "base/bin/conda", CONDA.format(python=sys.executable))
    (tmp_path / "base/conda-meta").mkdir()
    (tmp_path / "base/envs/demo/conda-meta").mkdir(parents=True)
    script(tmp_path / "base/bin/conda.sh", '. /dev/null\n"$@"\ntrue\n')
    with running(conda, "run", "-n", run_in, conda_prefix / "bin/python", "-c", READY) as pid:
        assert prefix_of_process(pid) == conda_prefix


@pytest.mark.parametrize("wrapper", ["bash", "timeout"])
def test_a_wrapper_of_another_environment_does_not_count(conda_prefix: Path, tmp_path: Path, wrapper: str) -> None:
    """A shell or a wrapper may be a program of the base environment. The kernel that it has started counts."""
    base = tmp_path / "base"
    (base / "conda-meta").mkdir(parents=True)
    (base / "bin").mkdir()
    shutil.copy(shutil.which(wrapper) or "", base / "bin")
    text = f'{conda_prefix}/bin/python -c "{READY}"\ntrue\n'
    words = ["9", "sh"] if wrapper == "timeout" else []
    with running(base / "bin" / wrapper, *words, script(tmp_path / "start.sh", text)) as pid:
        assert prefix_of_process(pid) == conda_prefix


def test_processes_that_a_kernel_starts_do_not_count(conda_prefix: Path, tmp_path: Path) -> None:
    """A kernel may run programs of other environments."""
    venv.create(tmp_path / "venv", symlinks=True)
    code = "import subprocess, sys; subprocess.run([sys.argv[1], '-c', sys.argv[2]])"
    other, kernel = tmp_path / "venv/bin/python", conda_prefix / "bin/python"
    with running(kernel, "-c", code, other, READY) as pid:
        assert prefix_of_process(pid) == conda_prefix
    with running(other, "-c", code, kernel, READY) as pid, pytest.raises(NotACondaKernel, match="virtual environment"):
        prefix_of_process(pid)
    named = [sys._base_executable, "-c", code, kernel, READY, "-m", "ipykernel_launcher"]
    with running(*named) as pid, pytest.raises(NotACondaKernel, match="no conda environment"):
        prefix_of_process(pid)


def test_inherited_variables_do_not_count(tmp_path: Path) -> None:
    """Variables name the environment of a program of the system if they were set for this kernel alone."""
    for name in ("server", "own"):
        (tmp_path / name / "conda-meta").mkdir(parents=True)
    inherited = {"CONDA_PREFIX": f"{tmp_path}/server", "PATH": f"{tmp_path}/server/bin:/usr/bin:/bin"}
    command = ["env", "sh", "-c", "echo ready; read line"]
    with running(*command, env=inherited) as pid, pytest.raises(NotACondaKernel):
        prefix_of_process(pid, inherited)
    for name, value in (("CONDA_PREFIX", f"{tmp_path}/own"), ("PATH", f"{tmp_path}/own/bin:{inherited['PATH']}")):
        with running(*command, env={**inherited, name: value}) as pid:
            assert prefix_of_process(pid, inherited) == tmp_path / "own"


def test_a_process_in_a_container_is_refused(conda_prefix: Path, tmp_path: Path) -> None:
    """The path of its program names another file there. The file of that name here does not count."""
    here = script(tmp_path / "env/bin/run", "")
    (tmp_path / "env/conda-meta").mkdir()
    enter = f'mount --bind {shutil.which("bash")} {here} && exec {here} -c "echo ready; read line"'
    with running("unshare", "--map-root-user", "--mount", "sh", "-c", enter) as pid:
        with pytest.raises(NotACondaKernel, match="runs in a container") as raised:
            prefix_of_process(pid)
        assert "in the container" in raised.value.hint


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (["BIN/python", "WAIT"], {}),
        (["pythonX", "WAIT"], {"PATH": "LINKS:${PATH}"}),
        (["pythonX", "WAIT"], {"PATH": "$FOLDER:$PATH", "OTHER": "$$"}),
        (["{resource_dir}/pythonX", "WAIT", "{connection_file}"], {}),
        (["/usr/bin/env", "A=b", "pythonX", "WAIT"], {"PATH": "${FOLDER}"}),
        (["bash", "-c", "exec BIN/python 'WAIT'; # not reached"], {}),
        (["nice", "BIN/python", "WAIT"], {}),
    ],
)
def test_the_kernelspec_and_its_process_agree(
    conda_prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], env: dict[str, str]
) -> None:
    """jupyter_client starts a kernel of the kernelspec. Its process is in the environment that the kernelspec names."""
    folder, links = tmp_path / "kernels" / "mine", tmp_path / "bin"
    for place in (folder, links):
        place.mkdir(parents=True)
        (place / "pythonX").symlink_to(conda_prefix / "bin/python")
    monkeypatch.setenv("FOLDER", str(links))
    os.mkfifo(tmp_path / "ready")
    wait = script(tmp_path / "wait.py", f"import signal; open('{tmp_path}/ready', 'w').close(); signal.pause()")
    text = json.dumps({"argv": argv, "env": env, "display_name": "x", "language": "x"})
    for word, value in (("BIN", conda_prefix / "bin"), ("LINKS", links), ("WAIT", wait)):
        text = text.replace(word, str(value))
    (folder / "kernel.json").write_text(text.replace("/", "\\/"))
    assert prefix_of_kernelspec(folder) == conda_prefix
    specs = KernelSpecManager(kernel_dirs=[str(folder.parent)])
    file = str(tmp_path / "connection.json")
    manager = KernelManager(kernel_name="mine", kernel_spec_manager=specs, connection_file=file)
    manager.start_kernel()
    try:
        (tmp_path / "ready").read_text()
        assert prefix_of_process(manager.provisioner.pid) == conda_prefix
    finally:
        manager.shutdown_kernel(now=True)
