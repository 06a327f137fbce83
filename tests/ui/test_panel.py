"""The panel: the tests of its model and its size."""

from __future__ import annotations

import gzip
import json
import tomllib

from tests.conftest import missing
from tests.ui.browser import OLDEST_JUPYTERLAB, ROOT, run

BUILT = ROOT / "jupyter_condabuild" / "labextension"


def test_the_oldest_jupyterlab_is_declared() -> None:
    """The ranges of the panel's dependencies, and the extra of the wheel, begin with the JupyterLab that is tested."""
    package = json.loads((ROOT / "package.json").read_text())
    ranges = {name: range for name, range in package["dependencies"].items() if name.startswith("@jupyterlab/")}
    assert ranges["@jupyterlab/application"] == f"^{OLDEST_JUPYTERLAB}"
    # Without these entries, the panel asks for the version that it was built with, and older ones write warnings.
    shared = package["jupyterlab"]["sharedPackages"]
    assert shared == {name: {"requiredVersion": range} for name, range in ranges.items()}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["lab"] == [f"jupyterlab>={OLDEST_JUPYTERLAB.removesuffix('.0')},<5"]


def test_the_types_are_valid() -> None:
    """Sources and browser tests pass TypeScript's strict checks."""
    run("tsc", "--noEmit")
    run("tsc", "--project", "tests/ui")


def test_each_browser_test_runs() -> None:
    """Each file with tests in a browser is in a folder that test_builds.py, test_display.py or tests/hub runs."""
    ui = ROOT / "tests" / "ui"
    specs = {spec.relative_to(ui).parts[0] for spec in ui.rglob("*.spec.ts")}
    assert specs == {file.stem.removeprefix("test_") for file in ui.glob("test_*.py")} - {"panel"} | {"hub"}


def test_the_model() -> None:
    """Events become a state, streams continue after a lost connection, and every string has its translation."""
    run("vitest", "run", "--dir", "labextension/tests")


def test_the_bundle_is_small() -> None:
    """Less than 300 kB, compressed, are loaded for the panel."""
    if not BUILT.is_dir():
        missing("The panel is not built: scripts/venv builds it")
    assert sum(len(gzip.compress(file.read_bytes())) for file in BUILT.glob("static/*.js")) < 300_000


def test_the_lock_file_names_no_host() -> None:
    """The lock file works with any registry of npm."""
    assert "://" not in "".join(
        line for line in (ROOT / "package-lock.json").read_text().splitlines() if '"resolved"' in line
    )
