"""The pipeline that we compare with: BuildKit builds a two-stage Dockerfile that installs the lock file.

The installer is py-rattler, the fastest installer that we know. Its image is built before the measurement. The engine
has this image and the base image.
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
os._exit(0)  # rattler's threads can crash the interpreter while it exits
"""

COMPILE = "&& (/opt/env/bin/python -m compileall -q -j 0 /opt/env/lib/python3.*/site-packages >/dev/null || true)"
"""Compiles the modules without bytecode. They belong to noarch packages, which conda compiles when it installs them."""

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
        base: the reference of the base image.
        builder: the reference of the image with the installer.
        bytecode: compile the modules of noarch packages, so that the image has the same files as ours.
        cache_mount: keep the package cache between the builds of one node.
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
        """Puts the engine into the state of a node that has only the base image and the installer's image."""
        self._engine.forget(keep=[self._base, self._builder])

    def build(self, environment: Environment, reference: str, *, cache_from: str = "", base: str = "") -> Sample:
        """Builds and pushes an image. The notes of the sample are the seconds of the build and of the push."""
        with measured(self._engine.pid) as sample:
            started = time.perf_counter()
            self.load(environment, reference, cache_from=cache_from, base=base)
            sample.notes["build"] = time.perf_counter() - started
            sample.moved = self._engine.push(reference)
        sample.notes["push"] = sample.seconds - sample.notes["build"]
        return sample

    def load(self, environment: Environment, reference: str, *, cache_from: str = "", base: str = "") -> None:
        """Builds an image in the engine."""
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
    """Builds and pushes the installer's image: Python and py-rattler in /opt/builder, on the base image."""
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
