"""Runs the programs of node_modules, and the tests of the panel in a browser with a real JupyterLab."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing
from tests.parts.registry.logins import PASSWORD, USER, password_registry

ROOT = Path(__file__).parents[2]
OLDEST_JUPYTERLAB = "4.2.0"
"""The oldest version that the panel supports, as package.json and pyproject.toml say."""
NOTEBOOK = "7.6.5"
"""The version of Jupyter Notebook that belongs to the JupyterLab of pyproject.toml."""


@dataclass(frozen=True)
class Browser:
    """What the tests in a browser need: a conda environment for the kernel, a registry, and two names of a base.

    `mac` is an environment of macOS, whose packages a channel has for Linux, too.
    """

    kernel_prefix: Path
    mac: Path
    registry: str
    base: str
    mirrored_base: str
    debian_mirrors: tuple[str, ...]
    cache: Path
    folder: Path

    def run(self, specs: str) -> None:
        """Runs the tests in a folder of tests/ui in Chromium. Their pictures are in tests/ui/results/pictures.

        The variable CONDABUILD_UI_ARGS has arguments for Playwright, as in ``-g "three clicks"``.
        """
        for module in ("jupyterlab", "jupyterlab_language_pack_zh_CN"):
            if not importlib.util.find_spec(module):
                missing(f"{module} is not installed: scripts/venv installs it")
        with password_registry(self.folder) as locked:
            play(
                specs,
                CONDABUILD_UI_PREFIX=str(self.kernel_prefix),
                CONDABUILD_UI_MAC=str(self.mac),
                CONDABUILD_UI_REGISTRY=self.registry,
                CONDABUILD_UI_BASE=self.base,
                CONDABUILD_UI_MIRRORED=self.mirrored_base,
                CONDABUILD_UI_MIRRORS=" ".join(self.debian_mirrors),
                CONDABUILD_UI_LOCKED=f"{locked} {USER} {PASSWORD}",
                CONDABUILD_UI_PYTHON=sys.executable,
                CONDABUILD_UI_OLDEST=str(_installed(f"jupyterlab=={OLDEST_JUPYTERLAB}", self.cache)),
                CONDABUILD_UI_NOTEBOOK=str(_installed(f"notebook=={NOTEBOOK}", self.cache)),
            )


def play(specs: str, **variables: str) -> None:
    """Runs the tests in a folder of tests/ui in Chromium, with environment variables."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        missing("No Chromium: scripts/system-packages installs it")
    run(
        *("playwright", "test", "--config", "tests/ui/playwright.config.ts"),
        *("--output", f"tests/ui/results/failures/{specs}", f"tests/ui/{specs}/"),
        *shlex.split(os.environ.get("CONDABUILD_UI_ARGS", "")),
        CONDABUILD_UI_CHROMIUM=chromium,
        **variables,
    )


def run(*command: str, **variables: str) -> None:
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


def _installed(package: str, cache: Path) -> Path:
    """Returns a folder with JupyterLab or Notebook, for PYTHONPATH. It uses the other packages of this environment.

    Notebook shares the settings and themes of JupyterLab, which must be beside its own.
    """
    folder = cache / package.replace("==", "-")
    if not folder.is_dir():
        made = Path(tempfile.mkdtemp(dir=cache))
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", made, package], check=True
        )
        if package.startswith("notebook"):
            for name in ("schemas", "themes"):
                part = Path("share/jupyter/lab", name)
                shutil.copytree(sys.prefix / part, made / part, dirs_exist_ok=True)
        with suppress(OSError):  # another run has made it
            made.rename(folder)
    return folder
