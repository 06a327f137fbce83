"""Packages of PyPI that only these tests need."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

SCHEDULER = (
    *("jupyter-scheduler==2.12.1", "croniter==1.4.1", "fsspec", "pytz==2024.2"),
    *("jupyter-repo2docker==2026.4.0", "entrypoints", "iso8601", "semver", "toml", "ruamel.yaml"),
)
"""jupyter-scheduler and repo2docker with what the tests' environment lacks of their dependencies."""


@pytest.fixture
def packages(test_cache: Path) -> Path:
    """The folder of jupyter-scheduler and repo2docker, for PYTHONPATH.

    In the environment of the tests, jupyter-scheduler would be a part of every JupyterLab.
    """
    folder = test_cache / "jupyter-scheduler-2.12.1"
    if not folder.is_dir():
        made = Path(tempfile.mkdtemp(dir=test_cache))
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", made, *SCHEDULER], check=True
        )
        with suppress(OSError):  # another run has made it
            made.rename(folder)
    return folder
