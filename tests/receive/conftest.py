"""Fixtures for the tests of shared images: an environment that its user has changed, and its image."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest

from tests.parts.builds import Workshop
from tests.parts.channel import prefix as prefixes

SPECS = ("python", "tqdm", "pip", "greet", "textprefix", "changing=1.0")


@pytest.fixture(scope="session")
def changed_environment(
    tmp_path_factory: pytest.TempPathFactory, channel_url: str, package_cache: Path, pip_wheel: Path
) -> Path:
    """An environment with a package of pip, a changed module, a module without its library, a file and a link."""
    made = prefixes.create(tmp_path_factory.mktemp("recreate") / "env", list(SPECS), channel_url, package_cache)
    python = made / "bin/python"
    words = ("-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", str(pip_wheel))
    subprocess.run([python, *words], check=True)
    [tqdm] = made.glob("lib/python3.*/site-packages/tqdm/__init__.py")
    text = tqdm.read_text()
    tqdm.unlink()  # a hard link of the package cache
    tqdm.write_text(f"{text}\nCHANGED = 1\n")
    (tqdm.parents[1] / "needsgl.py").write_text("import ctypes; ctypes.CDLL('libGL.so.1')\n")
    (made / "share").mkdir(exist_ok=True)
    (made / "share/mine.txt").write_text(f"{made}/share\n")
    (made / "share/link").symlink_to(made / "share/mine.txt")
    return made


@pytest.fixture(scope="session")
def changed_image(changed_environment: Path, session_workshop: Workshop, base_reference: str) -> Path:
    """An archive with the image of the environment."""
    name = f"changed-{uuid.uuid4().hex}"
    session_workshop.image(changed_environment, name, base=base_reference)
    return session_workshop.folder / f"{name}.tar"
