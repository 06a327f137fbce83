"""A user without privileges that exists for one test. It changes nothing on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.conftest import missing

NUMBER = 54_321

_FILES = {
    "passwd": "somebody:x:{number}:{number}::{home}:/bin/bash\n",
    "group": "somebody:x:{number}:\n",
    "subuid": "somebody:1000000:65536\n",
    "subgid": "somebody:1000000:65536\n",
}

_PODMAN = """\
[containers]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "{runtime}"
"""
"""The settings for a small virtual machine, which has no control groups for users and only the host's network."""

_BECOME = """\
for file in passwd group subuid subgid; do mount --bind "$0/etc/$file" "/etc/$file" || exit; done
cd "$0/work" || exit
exec setpriv --reuid {number} --regid {number} --clear-groups --inh-caps=-all env -i \\
    PATH="$PATH" TERM=xterm HOME="$0" USER=somebody XDG_RUNTIME_DIR="$0/run" "$@"
"""


@dataclass(frozen=True)
class Somebody:
    """The user, with a home folder. The folder `work` in it is the current folder of commands."""

    home: Path

    @property
    def work(self) -> Path:
        """The folder in which commands run."""
        return self.home / "work"

    def command(self, *words: str) -> list[str]:
        """Returns a command for root that runs a command as this user."""
        # It runs in its own mount namespace, where /etc contains the user (unshare(1), newuidmap(1)).
        become = _BECOME.format(number=NUMBER)
        return ["unshare", "--mount", "sh", "-c", become, str(self.home), *words]


@contextmanager
def somebody() -> Iterator[Somebody]:
    """A user with an empty home folder, who may run containers without root."""
    for program in ("unshare", "setpriv", "newuidmap"):
        if not shutil.which(program):
            missing(f"{program} is not installed")
    if os.getuid() or subprocess.run(["unshare", "--mount", "--user", "true"], capture_output=True).returncode:
        pytest.skip("only root can become another user, and only with user namespaces")
    with TemporaryDirectory(dir="/var/tmp") as folder:
        home = Path(folder)
        (home / ".config/containers").mkdir(parents=True)
        runtime = shutil.which("runc") or "crun"
        (home / ".config/containers/containers.conf").write_text(_PODMAN.format(runtime=runtime))
        (home / ".config/containers/storage.conf").write_text('[storage]\ndriver = "overlay"\n')
        for name in ("work", "run"):
            (home / name).mkdir(mode=0o700)
        subprocess.run(["chown", "-R", f"{NUMBER}:{NUMBER}", home], check=True)
        (home / "etc").mkdir()
        for name, line in _FILES.items():
            existing = Path("/etc", name)
            known = existing.read_text() if name in ("passwd", "group") and existing.exists() else ""
            (home / "etc" / name).write_text(known + line.format(number=NUMBER, home=home))
        try:
            yield Somebody(home)
        finally:
            for process in psutil.process_iter(["uids"]):  # Podman leaves a process that holds its namespaces
                if process.info["uids"] and process.info["uids"].real == NUMBER:
                    process.kill()
                    process.wait(10)
