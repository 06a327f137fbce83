"""A used environment: a real pip, editable installs, and changed, deleted and added files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.channel import prefix as prefixes

SPECS = ("python", "requests", "tqdm", "pip", "changing=1.0", "greet", "plaindata", "postlink", "activation")

BACKEND = """
import base64, hashlib, zipfile
SOURCE = "{source}"
def build_editable(folder, settings=None, metadata=None):
    name = "{name}-1.0-py3-none-any.whl"
    info = "{name}-1.0.dist-info"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("__editable__.{name}.pth", SOURCE + "\\n")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        lines = ["Wheel-Version: 1.0", "Generator: test", "Root-Is-Purelib: true", "Tag: py3-none-any", ""]
        wheel.writestr(info + "/WHEEL", "\\n".join(lines))
        wheel.writestr(info + "/RECORD", "")
    return name
"""


@dataclass(frozen=True)
class LivedIn:
    """The prefix, and the projects next to it."""

    prefix: Path
    projects: Path

    @property
    def site(self) -> Path:
        """The folder site-packages."""
        return self.prefix / snapshot(self.prefix).site_packages

    def pip(self, *arguments: str | Path) -> None:
        """Runs the environment's own pip, offline."""
        command = [self.prefix / "bin/python", "-m", "pip", *arguments]
        env = {
            "PATH": os.defpath,
            "HOME": str(self.projects),
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        subprocess.run(command, env=env, check=True, capture_output=True)


def wheel(folder: Path, name: str, version: str, files: Mapping[str, bytes], scripts: Mapping[str, str]) -> Path:
    """Writes a wheel. `scripts` are console scripts, ``module:function`` by name."""
    tag = "py3-none-any" if not any(path.endswith(".so") for path in files) else "py3-none-linux_x86_64"
    info = f"{name}-{version}.dist-info"
    points = "".join(f"{script} = {target}\n" for script, target in scripts.items())
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        f"{info}/entry_points.txt": f"[console_scripts]\n{points}".encode(),
    }
    lines = []
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        lines.append(f"{path},sha256={digest},{len(data)}\n")
    content[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in content.items():
            archive.writestr(member, data)
    return path


def project(folder: Path, name: str, layout: str) -> Path:
    """Writes a project that pip installs as editable, offline, with its own build backend."""
    root = folder / name
    source = root / "src" if layout == "src" else root
    (source / name).mkdir(parents=True)
    (source / name / "__init__.py").write_text(f"WHERE = {name!r}\n")
    (source / name / "data.txt").write_text("data\n")
    (root / ".git").mkdir()
    (root / ".git/config").write_text("secret\n")
    (root / "backend.py").write_text(BACKEND.format(name=name, source=source))
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    return root


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory: pytest.TempPathFactory, channel_url: str, package_cache: Path) -> LivedIn:
    """A used prefix. It is read only."""
    folder = tmp_path_factory.mktemp("lived-in")
    # from another cache, because some files are edited in place
    cache = Path(shutil.copytree(package_cache, folder / "pkgs", symlinks=True))
    prefix = prefixes.create(folder / "envs/demo", SPECS, channel_url, cache, scripts=True)
    live = LivedIn(prefix, folder / "projects")
    live.projects.mkdir()
    library = next((prefix / "lib").glob("libgreet.so.*.*")).read_bytes()
    code = b"from pathlib import Path\ndef main():\n    print('mine', Path(__file__).parent)\n"
    files = {"mine/__init__.py": b"", "mine/cli.py": code, "mine/native.so": library, "mine/data.json": b"{}\n"}
    live.pip("install", "--no-deps", wheel(live.projects, "mine", "1.0", files, {"mine": "mine.cli:main"}))
    live.pip("install", "--no-deps", wheel(live.projects, "tqdm", "99.0", {"tqdm/__init__.py": b"NEW = True\n"}, {}))
    live.pip("uninstall", "--yes", "idna")
    for name, layout in (("flat", "flat"), ("nested", "src")):
        live.pip("install", "--no-deps", "--no-build-isolation", "--editable", project(live.projects, name, layout))
    with (prefix / "share/plaindata/0.csv").open("r+b") as file:
        file.write(b"EDITED")
    (prefix / "share/plaindata/1.csv").unlink()
    (prefix / "share/plaindata/2.csv").unlink()
    (prefix / "share/plaindata/2.csv").write_text("replaced\n")
    (prefix / "share/own").mkdir()
    (prefix / "share/own/notes.txt").write_text(f"kept in {prefix}\n")
    (prefix / "bin/own").write_text(f"#!{prefix}/bin/python\nimport sys; print('own', sys.prefix)\n")
    (prefix / "bin/own").chmod(0o755)
    meta = prefix / "conda-meta"
    variables = {"MODE": "test", "TOKEN": "canary-variable", "own_data": f"{prefix}/share/own", "PATH": "/nowhere"}
    (meta / "state").write_text(json.dumps({"version": 1, "env_vars": variables}))
    (meta / "pinned").write_text("requests <99\n")
    (meta / "frozen").write_text('{"message": "do not touch"}')
    return live
