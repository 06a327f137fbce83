"""Bytecode as in packages: compiled by this Python, with relative names, and valid by time and size."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.parts.channel.package import MTIME

VERSION = sysconfig.get_python_version()  # "3.11"
TAG = "py" + sysconfig.get_config_var("py_version_nodot")
SITE_PACKAGES = f"lib/python{VERSION}/site-packages"


def compile_tree(root: Path, below: str, jobs: int = 1) -> None:
    """Compiles the modules in `root/below`. Modules that cannot be compiled (templates, Python 2) get no bytecode."""
    for path in (root / below).rglob("*.py"):
        os.utime(path, (MTIME, MTIME))
    command = [sys.executable, "-I", "-m", "compileall", "-qq", "-j", str(jobs), "--invalidation-mode", "timestamp"]
    subprocess.run([*command, "-s", str(root), str(root / below)], stdout=subprocess.DEVNULL, check=False)
