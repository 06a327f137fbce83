"""Imports go only downward, and modules are short and have clear names, as docs/architecture.md says."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "jupyter_condabuild"
MAX_LINES = 400
MOST_MODULES = 25
CATCH_ALL_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}

FOUNDATION = {
    "system",
    "errors",
    "events",
    "text",
    "files",
    "streams",
    "settings",
    "progress",
    "proxies",
    "certificates",
    "warning_codes",
}
ROOMS = ["requests", "image", "planning", "trust", "sbom", "distribution", "engines", "jobs", "receive"]
"""The floors, from the lowest to the highest. They are above conda, debian and oci."""

BELOW = {
    "system": set[str](),
    "errors": set[str](),
    "text": set[str](),
    "progress": {"events"},
    "proxies": set[str](),
    "certificates": set[str](),
    "warning_codes": set[str](),
    "streams": set[str](),
    "events": {"errors", "warning_codes"},
    "files": {"errors", "system"},
    "settings": {"errors", "system"},
    "display": FOUNDATION,
    "conda": FOUNDATION,
    "debian": FOUNDATION,
    "oci": FOUNDATION,
    **{room: {*ROOMS[:floor], "conda", "debian", "oci"} | FOUNDATION for floor, room in enumerate(ROOMS[:-1])},
    "trust": {"__init__", "requests", "image", "planning", "conda", "debian", "oci"} | FOUNDATION,
    "jobs": {"__init__", *ROOMS[:-2], "conda", "debian", "oci"} | FOUNDATION,
    "receive": {"requests", "image", "trust", "engines", "conda", "debian", "oci"} | FOUNDATION,
    # The server starts the commands of the command line as child processes, and does not import them.
    "server": {"__init__", *ROOMS, "conda", "debian", "oci"} | FOUNDATION,
    "commands": {"__init__", *ROOMS} | FOUNDATION,
    "cli": {"__init__", "commands", "display", "conda"} | FOUNDATION,
    "__main__": {"cli"},
    # The package itself has its version and the entry points for Jupyter.
    "__init__": {"server"},
}
"""The modules that each part of the package may import besides its own."""

ONLY_IN = {
    "tornado": ("server/*",),
    "jupyter_server": ("server/*",),
    "traitlets": ("server/*", "settings.py"),
    "rattler": ("conda/*",),
    # The registry client. Origins are compared as the client parses them: another parser of URLs could be a security
    # hole.
    "httpx": ("oci/connections/http.py",),
    # The images of an engine, its builds, its containers, and the errors of all of them.
    "docker": (
        "oci/engine/daemon.py",
        "oci/engine/loading.py",
        "oci/engine/builder.py",
        "oci/engine/containers.py",
        "oci/engine/faults.py",
    ),
    # These two modules talk to no engine. They read Docker's configuration and .dockerignore as Docker does.
    "docker.auth": ("oci/engine/daemon.py", "oci/engine/builder.py", "oci/logins/credentials.py"),
    # The purls of SBOMs. The libraries of the formats are slow to import: only tests compare with them.
    "packageurl": ("sbom/*",),
    "cyclonedx": (),
    "spdx_tools": (),
    "license_expression": (),
    "docker.utils.build": ("oci/engine/daemon.py", "oci/engine/builder.py", "planning/own_files/ignore_files.py"),
}
"""The parts of the package that may import an outside library. The most specific name decides."""


def imports(source: str, module: PurePosixPath) -> Iterator[str]:
    """Returns the dotted names that a module of the package imports anywhere. Relative names are made absolute."""
    here = (PACKAGE, *module.parent.parts)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (origin, node.module)))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def forbidden_import(name: str, module: PurePosixPath) -> str | None:
    """Returns the reason why a module of the package may not import a name, or None."""
    if name == PACKAGE or name.startswith(f"{PACKAGE}."):
        own = module.parts[0].removesuffix(".py")
        other = name.split(".")[1] if "." in name else "__init__"
        if own not in BELOW:
            return f"{module}: the architecture has no part {own!r}"
        if other in BELOW and other not in {own} | BELOW[own]:
            return f"{module} imports {name}: {own} may import only {sorted(BELOW[own])}"
        return None
    for library in sorted(ONLY_IN, key=len, reverse=True):
        if name == library or name.startswith(f"{library}."):
            if any(fnmatch(str(module), place) for place in ONLY_IN[library]):
                return None
            return f"{module} imports {name}: only {', '.join(ONLY_IN[library]) or 'tests'} may"
    return None


def faults(source: str, path: PurePosixPath) -> list[str]:
    """Returns the faults of a module at a path in the repository."""
    found = []
    if path.parts[0] == PACKAGE:
        module = path.relative_to(PACKAGE)
        found += [why for name in imports(source, module) if (why := forbidden_import(name, module))]
    lines = len(source.splitlines())
    if lines > MAX_LINES:
        found.append(f"{path} has {lines} lines, more than {MAX_LINES}: it owns more than one thing")
    if not ast.get_docstring(ast.parse(source)):
        found.append(f"{path} has no docstring: one sentence that says what it owns")
    if CATCH_ALL_NAMES & {name.removesuffix(".py") for name in path.parts}:
        found.append(f"{path}: a file is named by a noun of the domain or by a place")
    return found


def modules() -> list[Path]:
    """Returns every Python module of the repository's own."""
    return sorted(path for folder in (PACKAGE, "tests", "benchmarks") for path in ROOT.joinpath(folder).rglob("*.py"))


def test_every_module_follows_the_architecture() -> None:
    """No import goes upward or sideways. Modules are short, have a docstring, and have clear names."""
    found = [
        fault
        for path in modules()
        for fault in faults(path.read_text(encoding="utf-8"), PurePosixPath(path.relative_to(ROOT).as_posix()))
    ]
    assert not found, "\n".join(found)


def test_no_folder_has_too_many_modules() -> None:
    """A reader can look over a folder with 25 modules."""
    counts = Counter(path.parent for path in modules())
    assert [str(folder.relative_to(ROOT)) for folder, count in counts.items() if count > MOST_MODULES] == []


def test_every_part_of_the_package_is_in_the_architecture() -> None:
    """A new module or folder next to errors/ must be in the architecture."""
    parts = {
        path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py") for path in modules() if PACKAGE in path.parts
    }
    assert parts - BELOW.keys() == set()


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("conda/snapshot.py", "from jupyter_condabuild.oci.image import Digest"),
        ("conda/snapshot.py", "from jupyter_condabuild import oci"),
        ("conda/snapshot.py", "from ..oci import image"),
        ("debian/base.py", "from jupyter_condabuild.oci.layer import Entry"),
        ("oci/layer.py", "from jupyter_condabuild.conda.prefix.records import PrefixRecord"),
        ("oci/layer.py", "from jupyter_condabuild.planning.layer_plan import Plan"),
        ("events.py", "from jupyter_condabuild.planning.layer_plan import Plan"),
        ("errors.py", "from jupyter_condabuild.events import Event"),
        ("jobs/build.py", "from jupyter_condabuild.server.builds import Builds"),
        ("engines/result.py", "from jupyter_condabuild.jobs.build import build"),
        ("planning/inputs.py", "from jupyter_condabuild.distribution.push import Push"),
        ("image/base.py", "from jupyter_condabuild.planning.layer_plan import Plan"),
        ("requests/build.py", "from jupyter_condabuild.image.paths import PREFIX"),
        ("jobs/build.py", "import jupyter_condabuild.cli"),
        ("planning/inputs.py", "import jupyter_condabuild"),
        ("server/builds.py", "from jupyter_condabuild.cli import main"),
        ("cli.py", "from jupyter_condabuild.server.extension import CondaBuild"),
        ("__init__.py", "from jupyter_condabuild.cli import main"),
        ("settings.py", "from jupyter_condabuild.cli import main"),
        ("settings.py", "from jupyter_condabuild.requests.build import BuildRequest"),
        ("elsewhere.py", "from jupyter_condabuild.errors import UsageError"),
        ("jobs/build.py", "import tornado.web"),
        ("cli.py", "import tornado"),
        ("cli.py", "from jupyter_server.base.handlers import APIHandler"),
        ("requests/build.py", "from traitlets import Unicode"),
        ("engines/layers/engine.py", "import rattler"),
        ("oci/layer.py", "from rattler.exceptions import LinkError"),
        ("oci/engine/daemon.py", "import httpx"),
        ("conda/package_cache.py", "from httpx import Client"),
        ("oci/registry.py", "import docker"),
        ("oci/logins/credentials.py", "from docker import APIClient"),
        ("engines/layers/engine.py", "from docker import auth"),
        ("planning/own_files/ignore_files.py", "from docker.utils import kwargs_from_env"),
    ],
)
@pytest.mark.parametrize("place", ["{}", "def late():\n    {}", "if TYPE_CHECKING:\n    {}"])
def test_an_import_against_the_architecture_is_found(module: str, statement: str, place: str) -> None:
    """Each rule finds an import at the top of a module, inside a function, and for types."""
    source = f'"""A module."""\n{place.format(statement)}\n'
    assert len(faults(source, PurePosixPath(PACKAGE, module))) == 1


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("conda/snapshot.py", "from . import records"),
        ("conda/snapshot.py", "from jupyter_condabuild.errors import NotAPrefix"),
        ("oci/layer.py", "from jupyter_condabuild import events"),
        ("jobs/build.py", "from jupyter_condabuild.conda import snapshot"),
        ("jobs/build.py", "from jupyter_condabuild.oci import image"),
        ("server/handlers.py", "from jupyter_condabuild.requests.build import BuildRequest"),
        ("server/handlers.py", "from tornado import web"),
        ("requests/build.py", "from jupyter_condabuild.settings import Settings"),
        ("cli.py", "from jupyter_condabuild import __version__"),
        ("__main__.py", "from jupyter_condabuild.cli import main"),
        ("__init__.py", "from jupyter_condabuild.server.extension import CondaBuild"),
        ("conda/link.py", "import rattler.exceptions"),
        ("oci/connections/http.py", "import httpx"),
        ("oci/engine/daemon.py", "from docker.errors import DockerException"),
        ("oci/engine/builder.py", "import docker"),
        ("oci/logins/credentials.py", "from docker import auth"),
        ("oci/logins/credentials.py", "from docker.auth import load_config"),
        ("planning/own_files/ignore_files.py", "from docker.utils.build import exclude_paths"),
    ],
)
def test_an_allowed_import_is_accepted(module: str, statement: str) -> None:
    """The rules forbid only the imports that they name."""
    assert faults(f'"""A module."""\n{statement}\n', PurePosixPath(PACKAGE, module)) == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("tests/test_long.py", '"""Long."""\n' + "x = 1\n" * MAX_LINES, "has 401 lines"),
        ("benchmarks/fast.py", "x = 1\n", "has no docstring"),
        (f"{PACKAGE}/oci/utils.py", '"""Bits and pieces."""\n', "named by a noun"),
        (f"{PACKAGE}/common/tar.py", '"""Bits and pieces."""\n', "named by a noun"),
    ],
)
def test_a_module_with_a_fault_is_found(path: str, source: str, fault: str) -> None:
    """A module that is too long, has no docstring, or has an unclear name is a fault."""
    (found,) = faults(source, PurePosixPath(path))
    assert fault in found


def test_a_module_of_the_greatest_length_is_accepted() -> None:
    """The limit is inclusive."""
    assert faults('"""Long."""\n' + "x = 1\n" * (MAX_LINES - 1), PurePosixPath("tests/test_long.py")) == []
