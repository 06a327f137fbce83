"""The panel: the tests of its model and its size, and the tests in a browser with a real JupyterLab (tests/ui)."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path

from tests.conftest import missing
from tests.parts.registry.logins import PASSWORD, USER, password_registry

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "jupyter_condabuild" / "labextension"
OLDEST_JUPYTERLAB = "4.2.0"
"""The oldest version that the panel supports, as package.json and pyproject.toml say."""


def _run(*command: str, **variables: str) -> None:
    """Runs a program of node_modules. If it fails, its output is the failure's message."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if not (ROOT / "node_modules" / ".bin" / command[0]).exists() or not shutil.which("npx", path=path):
        missing("No Node packages: scripts/venv installs them")
    done = subprocess.run(
        ["npx", "--no-install", *command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-8000:]


def _oldest_jupyterlab(cache: Path) -> Path:
    """Returns a folder with the oldest JupyterLab, for PYTHONPATH. It uses the other packages of this environment."""
    folder = cache / f"jupyterlab-{OLDEST_JUPYTERLAB}"
    if not folder.is_dir():
        made = Path(tempfile.mkdtemp(dir=cache))
        package = f"jupyterlab=={OLDEST_JUPYTERLAB}"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", made, package], check=True
        )
        with suppress(OSError):  # another run has made it
            made.rename(folder)
    return folder


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
    _run("tsc", "--noEmit")
    _run("tsc", "--project", "tests/ui")


def test_the_model() -> None:
    """Events become a state, streams continue after a lost connection, and every string has its translation."""
    _run("vitest", "run", "--dir", "labextension/tests")


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


def test_the_panel_in_a_browser(
    registry: str, kernel_prefix: Path, small_base: str, base_reference: str, test_cache: Path, tmp_path: Path
) -> None:
    """The tests run in Chromium. Their pictures are in tests/ui/results/pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        missing("No Chromium: scripts/system-packages installs it")
    for module in ("jupyterlab", "jupyterlab_language_pack_zh_CN"):
        if not importlib.util.find_spec(module):
            missing(f"{module} is not installed: scripts/venv installs it")
    with password_registry(tmp_path) as locked:
        _run(
            *("playwright", "test", "--config", "tests/ui/playwright.config.ts"),
            CONDABUILD_UI_CHROMIUM=chromium,
            CONDABUILD_UI_PREFIX=str(kernel_prefix),
            CONDABUILD_UI_REGISTRY=registry,
            CONDABUILD_UI_BASE=small_base,
            CONDABUILD_UI_MIRRORED=base_reference,
            CONDABUILD_UI_LOCKED=f"{locked} {USER} {PASSWORD}",
            CONDABUILD_UI_PYTHON=sys.executable,
            CONDABUILD_UI_OLDEST=str(_oldest_jupyterlab(test_cache)),
        )
