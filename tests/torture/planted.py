"""Canaries: texts that lie where a user's secrets lie, each in one place: one that gets out names its place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.builds import install, small_channel
from tests.parts.channel import channel as channels
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata

SITE = "lib/python3.11/site-packages"

LEFT_OUT = (
    *("channel user", "channel password", "channel token", "record", "history", "pinned", "state", "about.json"),
    *("condarc of the environment", "condarc of the user", "pip.conf of the environment", "pip.conf of the user"),
    *("variable", "netrc", "Docker config", "rattler store", "signing key", "direct_url.json", "git remote"),
    *("editable .env", "editable secrets", "editable ignored", "editable closed"),
    *("include .env", "include ssh key", "include cloud", "include server", "untracked .env"),
)
"""Places whose secrets a build leaves out or removes, and goes on."""

STOPPING = ("activation script", "notebook", "editable module", "included file", "kernel", "pip module")
"""Places of which a build says that they contain secrets, and ends."""


def canary(place: str) -> str:
    """The secret of a place."""
    words = "".join(word[:4] for word in place.replace(".", "").split())
    return f"canary{words}{sum(place.encode()):05}"


@dataclass(frozen=True)
class Scene:
    """A user with an environment `prefix`, a folder `include`, and a home folder; `pkgs` is the package cache."""

    folder: Path
    prefix: Path
    pkgs: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def project(self) -> Path:
        return self.folder / "src/proj"

    @property
    def include(self) -> Path:
        return self.home / "work"

    @property
    def stopping(self) -> dict[str, Path]:
        """The files of STOPPING."""
        return {
            "activation script": self.prefix / "etc/conda/activate.d/mine.sh",
            "notebook": self.prefix / "share/work.ipynb",
            "editable module": self.project / "proj/settings.py",
            "included file": self.include / "deep/config.py",
            "kernel": self.prefix / "share/jupyter/kernels/mine/kernel.json",
            "pip module": self.prefix / SITE / "wheel/client.py",
        }

    def plant_stopping(self) -> None:
        """Writes the files of STOPPING."""
        texts = {
            "activation script": f"export API_TOKEN={canary('activation script')}\n",
            "notebook": json.dumps({"outputs": [{"text": [_url(canary("notebook"))]}]}),
            "editable module": f"URL = '{_url(canary('editable module'))}'\n",
            "included file": f"URL = '{_url(canary('included file'))}'\n",
            "kernel": json.dumps({"argv": [], "env": {"API_TOKEN": canary("kernel")}}),
            "pip module": f"URL = '{_url(canary('pip module'))}'\n",
        }
        for place, file in self.stopping.items():
            _write(file, texts[place])

    def remove_stopping(self) -> None:
        """Removes these files."""
        for place, file in self.stopping.items():
            file.unlink() if place != "pip module" else _write(file, "")

    @property
    def environ(self) -> dict[str, str]:
        """The variables of the user's shell."""
        return {
            "MY_API_TOKEN": canary("variable"),
            "RATTLER_AUTH_FILE": str(self.home / ".rattler/credentials.json"),
            "CONDA_PKGS_DIRS": str(self.pkgs),
        }


def _url(password: str) -> str:
    return f"https://me:{password}@db.lab.org/x"


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


@contextmanager
def scene(folder: Path, registry: str) -> Iterator[Scene]:
    """Plants the canaries of LEFT_OUT.

    Args:
        registry: the host of the registry that images are pushed to.
    """
    token = canary("channel token")
    root = folder / "channel"
    packages = [
        (Metadata(name, "1", noarch="generic"), [File(f"share/{name}", name.encode() * 200)])
        for name in ("one", "two", "three")
    ]
    python = (Metadata("python", "3.11.7"), [File("bin/python3.11", b"#!/bin/sh\n", 0o755)])
    small_channel(root / f"t/{token}", [python, *packages])
    with channels.serve(Channel(root)) as url:
        login = f"{canary('channel user')}:{canary('channel password')}@"
        address = f"{url.replace('//', f'//{login}')}/t/{token}"
        prefix = install(folder / "envs/demo", Channel(root / f"t/{token}"), "python", "one", "two", "three")
        made = Scene(folder, prefix, folder / "envs/pkgs")
        _plant_environment(made, address)
        _plant_home(made, registry)
        _plant_project(made)
        yield made


def _plant_environment(made: Scene, address: str) -> None:
    prefix, meta = made.prefix, made.prefix / "conda-meta"
    for path in meta.glob("*.json"):
        record = json.loads(path.read_bytes())
        url = f"{address}/{record['subdir']}/{record['fn']}"
        secret = {"link": {"source": _url(canary("record")), "type": 1}, "x": _url(canary("record"))}
        path.write_text(json.dumps(record | {"url": url, "channel": address} | secret))
    _write(meta / "history", f"==> 2026-11-24 06:52:10 <==\n# cmd: conda create -c {_url(canary('history'))} one\n")
    _write(meta / "pinned", f"{_url(canary('pinned'))}::one\n")
    _write(meta / "state", json.dumps({"version": 1, "env_vars": {"TOKEN": canary("state")}}))
    _write(prefix / ".condarc", f"channels:\n  - {_url(canary('condarc of the environment'))}\n")
    _write(prefix / "pip.conf", f"[global]\nindex-url = {_url(canary('pip.conf of the environment'))}\n")
    _write(prefix / "share/.env", f"TOKEN={canary('untracked .env')}\n")
    for about in made.pkgs.glob("*/info/about.json"):
        about.write_text(json.dumps({"root_pkgs": [_url(canary("about.json"))], "extra": canary("about.json")}))
    for cached in made.pkgs.glob("three-*"):  # is downloaded, with the login
        shutil.rmtree(cached) if cached.is_dir() else cached.unlink()
    _distribution(prefix, "wheel", {"url": f"git+{_url(canary('direct_url.json'))}", "vcs_info": {"vcs": "git"}})
    _write(prefix / SITE / "wheel/client.py", "")
    _distribution(prefix, "proj", {"url": made.project.as_uri(), "dir_info": {"editable": True}})
    _write(prefix / SITE / "proj.pth", f"{made.project}\n")


def _distribution(prefix: Path, name: str, origin: dict[str, object]) -> None:
    info = prefix / SITE / f"{name}-1.0.dist-info"
    _write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    _write(info / "INSTALLER", "pip\n")
    _write(info / "direct_url.json", json.dumps(origin))
    own = f"{name}/client.py" if name == "wheel" else f"{name}.pth"
    files = [own, *(f"{info.name}/{file}" for file in ("METADATA", "INSTALLER", "direct_url.json", "RECORD"))]
    _write(info / "RECORD", "".join(f"{file},,\n" for file in files))


def _plant_home(made: Scene, registry: str) -> None:
    home, include = made.home, made.include
    login = {"auth": "", "username": "me", "password": canary("Docker config")}
    _write(home / ".docker/config.json", json.dumps({"auths": {registry: login}}), 0o600)
    _write(home / ".condarc", f"channels:\n  - {_url(canary('condarc of the user'))}\n")
    _write(home / ".config/pip/pip.conf", f"[global]\nindex-url = {_url(canary('pip.conf of the user'))}\n")
    _write(home / ".netrc", f"machine lab.org login me password {canary('netrc')}\n", 0o600)
    _write(home / ".rattler/credentials.json", json.dumps({"lab.org": {"CondaToken": canary("rattler store")}}), 0o600)
    key = home / ".ssh/id_ed25519"
    key.parent.mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", canary("signing key"), "-f", key], check=True)
    _write(include / "a.py", "print(1)\n")
    _write(include / "backend/.env", f"TOKEN={canary('include .env')}\n")
    _write(include / ".ssh/id_rsa", f"KEY {canary('include ssh key')}\n")
    _write(include / ".aws/credentials", f"aws_secret_access_key = {canary('include cloud')}\n")
    _write(include / "runtime/jpserver-12.json", json.dumps({"token": canary("include server")}))


def _plant_project(made: Scene) -> None:
    project = made.project
    _write(project / "proj/__init__.py", "")
    _write(project / "proj/.env.local", f"TOKEN={canary('editable .env')}\n")
    _write(project / "secrets/db.json", json.dumps({"password": canary("editable secrets")}))
    _write(project / "notes.txt", f"{canary('editable ignored')}\n")
    _write(project / "closed.txt", f"{canary('editable closed')}\n", 0o600)
    _write(project / ".gitignore", "notes.txt\n")
    _write(project / ".git/config", f'[remote "origin"]\n\turl = {_url(canary("git remote"))}\n')


def planted(made: Scene, places: tuple[str, ...], contents: Callable[[bytes], bytes]) -> set[str]:
    """Which of these canaries are in the scene's files and variables: a trap that is not set catches nothing."""
    texts = [contents(path.read_bytes()) for path in made.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    texts += [value.encode() for value in made.environ.values()]
    texts += [os.fsencode(path) for path in made.folder.rglob("*")]
    whole = b"\0".join(texts)
    return {place for place in places if canary(place).encode() in whole}
