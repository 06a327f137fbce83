"""The conda environment of a kernel is found by its interpreter, for each way to start a kernel."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.prefix.kernel import prefix_of_argv, prefix_of_kernelspec, prefix_of_variables
from jupyter_condabuild.errors import NotACondaKernel


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A base environment with conda, and the environment `demo` in it."""
    base = environment(tmp_path / "miniconda3", "bin/python3.11", "bin/conda", "condabin/conda")
    environment(base / "envs/demo", "bin/python3.11", "bin/R", "lib/R/bin/R", "bin/julia", "bin/xpython")
    return base


def environment(prefix: Path, *programs: str) -> Path:
    """Returns a prefix with programs."""
    (prefix / "conda-meta").mkdir(parents=True)
    for program in programs:
        (prefix / program).parent.mkdir(parents=True, exist_ok=True)
        (prefix / program).write_text("#!/bin/sh\n")
        (prefix / program).chmod(0o755)
        if program == "bin/python3.11":
            (prefix / "bin/python").symlink_to("python3.11")
    return prefix


def of_spec(argv: Sequence[str | Path], env: dict[str, str] | None = None, **options: Any) -> Path:
    """Returns the prefix of a kernelspec with this command line, with no environment variables."""
    spec = {"argv": [str(word) for word in argv], "env": env or {}, "display_name": "x", "language": "x"}
    spec["metadata"] = options.pop("metadata", {})
    return prefix_of_kernelspec(spec, options.pop("inherited", {"PATH": "/usr/bin:/bin"}), **options)


def refusal(argv: Sequence[str | Path], env: dict[str, str] | None = None, **options: Any) -> str:
    with pytest.raises(NotACondaKernel) as caught:
        of_spec(argv, env, **options)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    "program", ["bin/python", "bin/python3.11", "bin/R", "lib/R/bin/R", "bin/julia", "bin/xpython"]
)
def test_the_program_is_in_the_environment(root: Path, program: str) -> None:
    """The nearest conda-meta above the program of a Python, R, Julia or compiled kernel counts."""
    assert of_spec([root / "envs/demo" / program, "-m", "ipykernel_launcher"]) == root / "envs/demo"


def test_a_kernelspec_is_read_from_its_file_or_folder(root: Path, tmp_path: Path) -> None:
    """{resource_dir} is replaced by the folder."""
    folder = tmp_path / "kernels/x"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(root / "envs/demo/bin/python")
    (folder / "kernel.json").write_text(json.dumps({"argv": ["{resource_dir}/python"]}))
    assert prefix_of_kernelspec(folder, {}) == root / "envs/demo"
    assert prefix_of_kernelspec(folder / "kernel.json", {}) == root / "envs/demo"


def test_python_means_the_servers_interpreter(root: Path) -> None:
    """jupyter_client replaces a bare python by its own interpreter, for any value of PATH."""
    python = str(root / "envs/demo/bin/python")
    assert (
        of_spec(["python", "-m", "x"], inherited={"PATH": str(root / "bin")}, server_python=python)
        == root / "envs/demo"
    )


OTHER = f"python3.{sys.version_info.minor - 1}"


def test_only_the_names_of_the_servers_python_mean_it(root: Path, tmp_path: Path) -> None:
    """Python of another version, and programs with a similar name, are found on the PATH that the kernel gets."""
    other = environment(tmp_path / "other", f"bin/{OTHER}", "bin/ipython", "bin/xpython")
    server = environment(tmp_path / "server", "bin/python", "bin/ipython", "bin/xpython")
    options = {"server_python": str(server / "bin/python"), "inherited": {"PATH": f"{server}/bin:/usr/bin"}}
    own = {"PATH": f"{other}/bin:${{PATH}}"}
    for argv in ([OTHER, "-m", "ipykernel"], ["ipython", "kernel"], ["xpython"], ["env", OTHER]):
        assert of_spec(argv, own, **options) == other
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        assert of_spec([name, "-m", "ipykernel"], own, **options) == server
    assert of_spec(["xpython"], **options) == server
    assert OTHER in refusal([OTHER], **options)


def test_fields_and_variables_are_filled_as_jupyter_client_fills_them(root: Path, tmp_path: Path) -> None:
    """The prefix is the server's. Variables have both forms of string.Template. Unknown variables stay."""
    demo = root / "envs/demo"
    python = str(demo / "bin/python")
    assert of_spec(["{prefix}/bin/xpython", "-f", "{connection_file}"], server_python=python) == demo
    inherited = {"PATH": "/usr/bin", "ROOT": str(root), "EMPTY": ""}
    for path in ("${ROOT}/envs/demo/bin", "$ROOT/envs/demo/bin:$PATH", "${UNKNOWN}:${ROOT}/envs/demo/bin"):
        assert of_spec(["xpython"], {"PATH": path}, inherited=inherited) == demo
    wrapper = shell_script(tmp_path / "wrapper.sh", "run-the-kernel")
    assert of_spec([wrapper], {"CONDA_PREFIX": "${ROOT}/envs/demo"}, inherited=inherited) == demo


def test_escapes_of_json_are_read(tmp_path: Path) -> None:
    """Programs write a slash as ``\\/`` and a letter with an accent as ``\\u00e9``."""
    prefix = environment(tmp_path / "caf\u00e9/demo", "bin/xpython")
    (tmp_path / "kernel.json").write_text(
        json.dumps({"argv": [f"{prefix}/bin/xpython"]}).replace("/", "\\/"), encoding="ascii"
    )
    assert prefix_of_kernelspec(tmp_path, {}) == prefix


def test_a_bare_name_is_found_on_path(root: Path) -> None:
    """The kernelspec's PATH, which may contain the server's, is searched before the server's PATH."""
    assert of_spec(["R"], inherited={"PATH": str(root / "envs/demo/bin")}) == root / "envs/demo"
    own = {"PATH": f"{root}/envs/demo/bin:${{PATH}}"}
    assert of_spec(["R"], own, inherited={"PATH": "/usr/bin"}) == root / "envs/demo"


@pytest.mark.parametrize(
    "words",
    [
        ["{root}/bin/conda", "run", "-n", "demo", "python"],
        ["{root}/bin/conda", "run", "--name=demo", "--no-capture-output", "python"],
        ["{root}/condabin/conda", "run", "--live-stream", "-p", "{root}/envs/demo", "python"],
        ["{root}/bin/python", "-m", "conda", "run", "-n", "demo", "python"],
        ["micromamba", "run", "-r", "{root}", "-n", "demo", "python"],
        ["micromamba", "-r", "{root}", "run", "-ndemo", "python"],
        ["mamba", "run", "--prefix", "{root}/envs/demo", "python"],
        ["python", "-m", "nb_conda_kernels.runner", "{root}", "{root}/envs/demo", "R", "--slave"],
        ["/usr/bin/env", "-u", "X", "A=b", "{root}/bin/conda", "run", "-n", "demo", "python"],
        ["bash", "-lc", "source {root}/bin/activate demo && exec python -m ipykernel"],
        ["bash", "-c", "conda activate {root}/envs/demo; python"],
        ["bash", "-c", "conda activate base; # conda activate gone\nconda activate {root}/envs/demo; exec python"],
        ["bash", "-c", "module load x && exec {root}/envs/demo/bin/python3.11 -m ipykernel"],
        ["/usr/bin/python3", "{root}/bin/conda", "run", "--unknown-flag", "-n", "demo", "python"],
        ["nice", "-n", "10", "{root}/envs/demo/bin/python", "-m", "ipykernel"],
        ["timeout", "9", "bash", "-c", "source {root}/bin/activate demo && exec python -m ipykernel"],
    ],
)
def test_launchers_name_the_environment(root: Path, words: list[str]) -> None:
    """The launchers are conda, mamba and micromamba run, nb_conda_kernels, env, nice, and a shell that activates."""
    assert of_spec([word.format(root=root) for word in words]) == root / "envs/demo"


def test_named_environments_are_found_in_condas_folders(root: Path, tmp_path: Path) -> None:
    """The folders are those next to the conda that runs, those of the variables, and those in the user's list."""
    elsewhere = environment(tmp_path / "elsewhere/mine")
    run = ["conda", "run", "-n", "mine", "python"]
    assert of_spec(run, inherited={"PATH": "", "CONDA_ENVS_DIRS": str(elsewhere.parent)}) == elsewhere
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda/environments.txt").write_text(f"{root}\n{elsewhere}\n")
    assert of_spec(run, inherited={"PATH": "", "HOME": str(tmp_path)}) == elsewhere
    assert of_spec([root / "bin/conda", "run", "-n", "base", "python"]) == root
    assert "conda run" in refusal([root / "bin/conda", "run", "-n", "gone", "python"])


def test_the_metadata_of_nb_conda_kernels_is_used(root: Path) -> None:
    """Its kernelspecs contain the path of the environment."""
    assert of_spec(["x"], metadata={"conda_env_path": str(root / "envs/demo")}) == root / "envs/demo"


def test_pixi_kernels_run_in_their_project(tmp_path: Path) -> None:
    """`pixi run` and pixi-kernel use the named or the nearest manifest, and its named or default environment."""
    default = environment(tmp_path / "project/.pixi/envs/default", "bin/python3.11")
    gpu = environment(tmp_path / "project/.pixi/envs/gpu")
    notebooks = tmp_path / "project/notebooks"
    notebooks.mkdir()
    manifest = str(tmp_path / "project/pixi.toml")
    assert of_spec(["pixi", "run", "python"], cwd=notebooks) == default
    assert of_spec(["pixi", "run", "--manifest-path", manifest, "-e", "gpu", "python"]) == gpu
    assert of_spec(["pixi", "run", f"--manifest-path={tmp_path / 'project'}", "python"]) == default
    provisioner = {"kernel_provisioner": {"provisioner_name": "pixi-kernel-provisioner"}}
    assert of_spec(["python", "-m", "ipykernel_launcher"], metadata=provisioner, cwd=notebooks) == default
    assert of_spec([default / "bin/python"]) == default
    assert "pixi" in refusal(["pixi", "run", "python"], cwd=tmp_path)


def test_the_variables_of_a_wrapper_are_used(root: Path, tmp_path: Path) -> None:
    """If the program is in no environment, the variables of the kernelspec count.

    The variables of the server do not.
    """
    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text("#!/bin/sh\n")
    wrapper.chmod(0o755)
    demo = str(root / "envs/demo")
    assert of_spec([wrapper], {"CONDA_PREFIX": demo}) == root / "envs/demo"
    assert of_spec([wrapper], {"PATH": f"{demo}/bin:${{PATH}}"}) == root / "envs/demo"
    assert str(wrapper) in refusal([wrapper], inherited={"PATH": "", "CONDA_PREFIX": demo})


def shell_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n# a comment\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_script_of_a_wrapper_is_read(root: Path, tmp_path: Path) -> None:
    """The script may lie in another environment, where kernelspecs lie. That environment is not the kernel's."""
    kernels = root / "share/jupyter/kernels"
    demo = root / "envs/demo"
    activates = shell_script(kernels / "a/start.sh", f'source {root}/bin/activate demo\nexec python "$@"')
    passes = shell_script(kernels / "b/start.sh", 'module load cuda\nexec "$@"')
    runs = shell_script(kernels / "c/start.sh", f'exec {demo}/bin/python3.11 -m ipykernel "$@"')
    assert of_spec([activates, "-m", "ipykernel"]) == demo
    assert of_spec(["bash", activates, "-m", "ipykernel"]) == demo
    assert of_spec([passes, demo / "bin/python", "-m", "ipykernel"]) == demo
    assert of_spec(["/bin/sh", passes, demo / "bin/python", "-m", "ipykernel"]) == demo
    assert of_spec([runs]) == demo
    unknown = shell_script(kernels / "d/start.sh", "module load python\npython -m ipykernel")
    assert str(unknown) in refusal([unknown])
    assert of_spec([unknown], {"CONDA_PREFIX": str(demo)}) == demo


def test_the_interpreter_of_a_python_script_counts(root: Path, tmp_path: Path) -> None:
    """The script `ipython` may lie in ~/.local/bin. Its first line names the interpreter."""
    for name, first in (("a", f"{root}/envs/demo/bin/python3.11"), ("b", "/usr/bin/env -S python3.11 -s")):
        script = tmp_path / name / "ipython"
        script.parent.mkdir()
        script.write_text(f"#!{first}\n")
        script.chmod(0o755)
        inherited = {"PATH": f"{script.parent}:{root}/envs/demo/bin:/usr/bin"}
        assert of_spec(["ipython", "kernel"], inherited=inherited) == root / "envs/demo"


def test_kernels_whose_environment_is_not_known_here_are_refused(root: Path) -> None:
    """The tools of projects select an environment at the start. Containers and other machines have their own files."""
    python = root / "envs/demo/bin/python"
    environment(root / "envs/tools", "bin/uv", "bin/poetry", "bin/docker")
    inherited = {"PATH": f"{root}/envs/tools/bin"}
    for argv in (["uv", "run", "python"], ["poetry", "run", "python"]):
        assert f"started by {argv[0]}" in refusal(argv, inherited=inherited)
    for argv in (["docker", "run", "x"], ["ssh", "node", str(python)], ["apptainer", "exec", "x.sif", str(python)]):
        assert "container or on another machine" in refusal(argv, inherited=inherited)
    metadata = {"kernel_provisioner": {"provisioner_name": "kubernetes-provisioner"}}
    assert "kubernetes-provisioner" in refusal([python, "launch_kubernetes.py"], metadata=metadata)
    local = {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}
    assert of_spec([python], metadata=local) == root / "envs/demo"


def test_a_link_to_the_interpreter_is_followed(root: Path, tmp_path: Path) -> None:
    """A link to another place is followed. An environment that is reached through a linked folder keeps its name."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(root / "envs/demo/bin/python")
    assert of_spec([tmp_path / "bin/python"]) == root / "envs/demo"
    (tmp_path / "short").symlink_to(root / "envs/demo")
    assert of_spec([tmp_path / "short/bin/python"]) == tmp_path / "short"


def test_the_message_names_other_interpreters(root: Path, tmp_path: Path) -> None:
    """The message names a system Python, a missing program, and a missing environment."""
    assert "nowhere-to-be-found" in refusal(["/usr/bin/env", "nowhere-to-be-found"])
    python = tmp_path / "system/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text("")
    python.chmod(0o755)
    assert str(python) in refusal([python], {"CONDA_PREFIX": str(root)})
    gone = root / "envs/gone/bin/python"
    assert str(gone) in refusal([gone])
    assert refusal([])


def test_a_folder_in_the_base_environment_is_not_part_of_it(root: Path) -> None:
    """A folder without conda-meta and an extracted package do not belong to the base environment around them."""
    for place in ("envs/broken/bin/python", "pkgs/python-3.11.7-0/bin/python"):
        python = root / place
        python.parent.mkdir(parents=True)
        python.write_text("")
        python.chmod(0o755)
        assert str(python) in refusal([python])


def test_a_virtual_environment_above_conda_is_refused(conda_prefix: Path, tmp_path: Path) -> None:
    """An image of only the conda environment would lack its packages. The message names both environments."""
    subprocess.run(
        [str(conda_prefix / "bin/python"), "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True
    )
    message = refusal([tmp_path / "venv/bin/python"])
    assert str(tmp_path / "venv/bin/python") in message
    assert str(conda_prefix) in message


def test_a_virtual_environment_without_conda_is_refused(root: Path) -> None:
    """A virtual environment is refused even if its folder is in the folder of a conda environment."""
    venv.create(root / "venv", symlinks=True)
    message = refusal([root / "venv/bin/python"])
    assert "virtual environment without conda" in message
    assert str(root / "venv/bin/python") in message
    with (root / "venv/pyvenv.cfg").open("a") as file:
        file.write("uv = 0.9.1\n")
    assert "virtual environment of uv" in refusal([root / "venv/bin/python"])


def test_the_kernels_of_windows_are_found(tmp_path: Path) -> None:
    """Python is in the environment itself, the other programs are in Scripts, and names end with .exe."""
    prefix = environment(tmp_path / "lab", "python.exe", "Scripts/jupyter-kernel.exe", "pythonw.exe")
    for name in ("python.exe", "pythonw.exe", "Scripts/jupyter-kernel.exe"):
        assert of_spec([prefix / name, "-m", "ipykernel_launcher"]) == prefix
    for path in (f"{prefix}:{prefix}/Library/bin:{prefix}/Scripts", f"/usr/bin:{prefix}/Scripts"):
        assert prefix_of_variables({"PATH": path}) == prefix
    root = environment(tmp_path / "root", "Scripts/conda.exe")
    environment(root / "envs/demo", "python.exe")
    assert of_spec([root / "Scripts/conda.exe", "run", "-n", "demo", "python"]) == root / "envs/demo"
    given = prefix_of_kernelspec({"argv": ["{prefix}/python.exe"]}, {}, server_python=str(prefix / "python.exe"))
    assert given == prefix


def test_a_broken_kernelspec_is_refused(tmp_path: Path) -> None:
    """The kernelspec is missing, is not JSON, is not an object, or its members have other types."""
    for content in (None, b"{", b"[]", b'{"argv": "kernel.json", "env": [], "metadata": 1}'):
        path = tmp_path / "kernel.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(NotACondaKernel, match=r"kernel\.json"):
            prefix_of_kernelspec(tmp_path, {})


def test_a_command_line_gives_its_prefix(root: Path) -> None:
    """Without a kernelspec, the environment variables of the program count."""
    wrapper = ["/bin/sh", "-c", "true"]
    assert prefix_of_argv(wrapper, {"CONDA_PREFIX": str(root)}) == root
    assert prefix_of_argv([str(root / "envs/demo/bin/python")], {}) == root / "envs/demo"
