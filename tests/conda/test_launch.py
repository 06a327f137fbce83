"""The launch variables of a kernel, and what its Python imports from with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.launch import launch_variables, of_kernelspec, of_process
from jupyter_condabuild.conda.prefix.outside import python_places
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.outside import Machine
from tests.parts.small_prefix import SITE


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("argv", "variables", "expected"),
    [
        (["python", "-m", "ipykernel_launcher"], {}, [".local"]),
        (["python"], {"PYTHONNOUSERSITE": "1"}, []),
        (["python"], {"PYTHONNOUSERSITE": ""}, [".local"]),
        (["/x/bin/python3.11", "-s", "-m", "ipykernel_launcher"], {}, []),
        (["python", "-Xfrozen_modules=off", "-m", "x", "-s"], {}, [".local"]),
        (["python", "-X", "importtime", "-Bs", "-c", "0"], {}, []),
        (["python"], {"PYTHONPATH": "lib"}, ["lib", ".local"]),
        (["python", "-E"], {"PYTHONPATH": "lib", "PYTHONNOUSERSITE": "1"}, [".local"]),
        (["python", "-I"], {"PYTHONPATH": "lib"}, []),
        (["python"], {"PYTHONUSERBASE": "{home}/base"}, ["base"]),
        (["bash", "-s"], {}, [".local"]),
    ],
)
def test_the_search_path_follows_the_rules_of_python(
    machine: Machine, argv: list[str], variables: dict[str, str], expected: list[str]
) -> None:
    """Options and variables turn the user's site-packages and PYTHONPATH on and off. A real Python agrees."""
    for base in (".local", "base"):
        machine.install(machine.home / base / SITE, "mine")
    machine.put(machine.home / "lib/x.py")
    given = {"HOME": str(machine.home)} | {name: value.format(home=machine.home) for name, value in variables.items()}
    found = python_places(snapshot(machine.prefix.path), launch_variables(argv, given, machine.home))
    assert [place.path.relative_to(machine.home).parts[0] for place in found] == expected
    if sys.version_info[:2] == (3, 11) and "python" in argv[0]:
        options = argv[1 : argv.index("-m") if "-m" in argv else argv.index("-c") if "-c" in argv else None]
        base = os.path.realpath(sys.executable)  # a virtual environment has no user site
        script = "import sys; print('\\n'.join(sys.path[1:]))"
        ran = subprocess.run(
            [base, *options, "-c", script], env=given, cwd=machine.home, check=True, capture_output=True, text=True
        )
        real = [line for line in ran.stdout.splitlines() if line.startswith(str(machine.home))]
        assert [Path(line).relative_to(machine.home).parts[0] for line in real] == expected


@pytest.mark.parametrize("launcher", [[], ["sh", "-c", '"$@"; exit 0', "sh"]])
def test_the_variables_of_a_running_kernel_are_its_own(machine: Machine, launcher: list[str]) -> None:
    """They are read from the kernel's process; those of a kernelspec are put on top of the inherited variables."""
    folder = machine.put(machine.data / "lib/x.py").parent
    variables = {"HOME": str(machine.home), "PYTHONPATH": "lib", "TOKEN": "canary"}
    process = subprocess.Popen(
        [*launcher, sys.executable, "-s", "-c", "input('ready\\n')"],
        env=variables,
        cwd=machine.data,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        process.stdout.readline()
        found = of_process(process.pid)
        process.communicate(b"\n")
    assert found == (f"HOME={machine.home}", "PYTHONNOUSERSITE=1", f"PYTHONPATH={folder}")
    spec = {"argv": ["python"], "env": {"PYTHONPATH": "${LAB}/lib"}}
    assert of_kernelspec(spec, {"LAB": "/lab", "X": "1"}) == ("PYTHONPATH=/lab/lib",)
