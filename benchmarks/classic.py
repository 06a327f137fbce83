"""The classic pipeline: a two-stage Dockerfile that installs the lock file, built by BuildKit, pushed by the engine.

The installer is py-rattler, the fastest there is. Its image is made beforehand; the engine has it, and the base.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import certifi
import rattler

from benchmarks.engine import Engine
from benchmarks.environment import Environment
from benchmarks.measure import Sample, measured
from tests.parts.channel import prefix

INSTALL = """\
import asyncio, os, rattler
[(_, environment)] = rattler.LockFile.from_path("/lock.yml").environments()
records = environment.conda_repodata_records_for_platform(environment.platforms()[0])
asyncio.run(rattler.install(records, "/opt/env", cache_dir="/pkgs", show_progress=False))
os._exit(0)  # rattler's threads can crash an interpreter that is being taken down
"""

COMPILE = "&& (/opt/env/bin/python -m compileall -q -j 0 /opt/env/lib/python3.*/site-packages >/dev/null || true)"
"""Only what has no bytecode yet, the files of noarch packages, which conda compiles when it installs."""

DOCKERFILE = """\
FROM {builder} AS build
COPY lock.yml install.py /
RUN {mount} /opt/builder/bin/python /install.py {compile}
FROM {base}
COPY --from=build /opt/env /opt/env
ENV PATH=/opt/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""

MOUNT = "--mount=type=cache,target=/pkgs"


class Classic:
    """The pipeline with one Dockerfile.

    Args:
        bytecode: compile noarch packages' modules, so that the image holds what ours does.
        cache_mount: keep the package cache between builds of one node.
    """

    def __init__(self, engine: Engine, base: str, builder: str, *, bytecode: bool, cache_mount: bool = False) -> None:
        self.bytecode = bytecode
        self.name = "BuildKit" + (" + bytecode" if bytecode else "") + (" + cache mount" if cache_mount else "")
        self._engine = engine
        self._base = base
        self._builder = builder
        self._compile = COMPILE if bytecode else ""
        self._mount = MOUNT if cache_mount else ""

    def forget(self) -> None:
        """The next build runs as on a node that has the base and the installer's image, and nothing else."""
        self._engine.forget(keep=[self._base, self._builder])

    def build(self, environment: Environment, reference: str, *, cache_from: str = "", base: str = "") -> Sample:
        """Builds and pushes; `notes` are the seconds of each."""
        with measured(self._engine.pid) as sample:
            started = time.perf_counter()
            self.load(environment, reference, cache_from=cache_from, base=base)
            sample.notes["build"] = time.perf_counter() - started
            sample.moved = self._engine.push(reference)
        sample.notes["push"] = sample.seconds - sample.notes["build"]
        return sample

    def load(self, environment: Environment, reference: str, *, cache_from: str = "", base: str = "") -> None:
        """Builds into the engine."""
        text = DOCKERFILE.format(
            builder=self._builder, base=base or self._base, mount=self._mount, compile=self._compile
        )
        context = {
            "Dockerfile": text.encode(),
            "install.py": INSTALL.encode(),
            "lock.yml": environment.lockfile.read_bytes(),
        }
        self._engine.build(context, reference, [cache_from] if cache_from else [])


def make_builder(engine: Engine, base: str, channel: str, work: Path, reference: str) -> None:
    """The installer's image: Python and py-rattler at /opt/builder on the base image."""
    folder = work / "builder"
    records = prefix.solve(["python"], channel, work / "builder-pkgs")
    install = rattler.install(
        records,
        folder,
        cache_dir=work / "builder-pkgs",
        alternative_target_prefix="/opt/builder",
        show_progress=False,
    )
    asyncio.run(install)
    (site,) = folder.glob("lib/python3.*/site-packages")
    shutil.copytree(Path(rattler.__file__).parent, site / "rattler")
    shutil.copy(certifi.where(), folder / "ca.pem")
    dockerfile = f"FROM {base}\nCOPY builder /opt/builder\nENV SSL_CERT_FILE=/opt/builder/ca.pem\n"
    engine.build({"Dockerfile": dockerfile.encode(), "builder": folder}, reference)
    engine.push(reference)
