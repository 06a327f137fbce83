"""Settings outside of an environment: files that its programs read because a variable or a default of them says so.

They are files of R, Julia, IPython and others (`launch.PURPOSES`). Python's own search path is in `outside`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.launch import PURPOSES
from jupyter_condabuild.conda.prefix.outside import Inside, Place
from jupyter_condabuild.conda.prefix.pip_metadata import text_of

_ASSIGNMENT = re.compile(r"""^\s*(?:export\s+|setenv\s+)?([A-Za-z_]\w*)[=\s]\s*(['"]?)(/[^'"\n;]+)\2""", re.MULTILINE)
_PURPOSES = {**PURPOSES, "PYTHONPATH": "Python modules"}
_SCRIPTS = re.compile(
    r"etc/conda/activate\.d/.*\.sh|lib/R/etc/(?:Renviron|Rprofile)(?:\.site)?|(?:.*/)?\.(?:Renviron|Rprofile)"
)
_KERNELSPEC = re.compile(r"share/jupyter/kernels/[^/]+/kernel\.json")


def setting_places(environment: Environment, launch: Sequence[str], own: Iterable[str]) -> list[Place]:
    """Returns the existing files and folders outside of a prefix that settings name, each once.

    Args:
        launch: the launch variables of the kernel (see `launch`).
        own: the files of the prefix that are not as a package brings them, relative to the prefix.
    """
    variables = dict(pair.split("=", 1) for pair in launch)
    named = [
        *_of_variables(variables, PURPOSES, ""),
        *_of_variables(environment.variables, _PURPOSES, "conda env config vars"),
        *_of_files(environment.prefix, own),
        *_of_defaults(environment, Path(variables.get("HOME") or os.path.expanduser("~")), variables),
    ]
    inside = Inside([environment.prefix])
    places: dict[Path, Place] = {}
    for path, source in named:
        if os.path.exists(path) and not inside(path):
            places.setdefault(path, Place(path, "setting", source))
    return list(places.values())


def _of_variables(variables: Mapping[str, str], purposes: Mapping[str, str], setter: str) -> Iterator[tuple[Path, str]]:
    for name, purpose in purposes.items():
        title = f"{name} in {setter}" if setter else name
        for path in _paths(variables.get(name, "")):
            yield path, f"{title}: {purpose}"


def _of_files(prefix: Path, own: Iterable[str]) -> Iterator[tuple[Path, str]]:
    for path in own:
        if _SCRIPTS.fullmatch(path):
            for match in _ASSIGNMENT.finditer(text_of(prefix / path)):
                yield from _of_variables({match[1]: match[3]}, _PURPOSES, path)
        elif _KERNELSPEC.fullmatch(path):
            yield from _of_variables(_kernel_variables(text_of(prefix / path)), _PURPOSES, path)


def _kernel_variables(text: str) -> dict[str, str]:
    """Returns the variables of a kernelspec; none if it is not valid."""
    try:
        variables = json.loads(text).get("env") or {}
        return {str(name): str(value) for name, value in variables.items()}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _of_defaults(environment: Environment, home: Path, variables: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Yields the files in the home folder that programs of the environment read without a variable."""
    versions = {record.name: record.version for record in environment.records}
    if r := versions.get("r-base"):
        for path in sorted(home.glob(f"R/*-library/{'.'.join(r.split('.')[:2])}")):
            yield path, "the user's library of R: R packages"
        for name in (".Rprofile", ".Renviron"):
            yield home / name, "R: settings"
    if "julia" in versions:
        yield home / ".julia/packages", "the user's depot of Julia: Julia packages"
    if "ipython" in versions or any(item.package.name == "ipython" for item in environment.pip):
        startup = Path(variables.get("IPYTHONDIR") or home / ".ipython", "profile_default/startup")
        for path in sorted((*startup.glob("*.py"), *startup.glob("*.ipy"))):
            yield path, "IPython: a script that it runs first"


def _paths(value: str) -> list[Path]:
    return [Path(os.path.normpath(part)) for part in value.split(os.pathsep) if part.startswith("/")]
