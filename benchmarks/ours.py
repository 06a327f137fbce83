"""Our pipeline: runs the command line in a process of its own, as a user does."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import Environment
from benchmarks.measure import Sample, measured

_FORCED = """
import os, sys
count = int(sys.argv.pop(1))
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
from jupyter_condabuild.system import process_tree
process_tree.processors = lambda: count
from jupyter_condabuild.cli import main
sys.exit(main())
"""


class Ours:
    """`jupyter condabuild` with a store and a home folder of its own.

    Args:
        work: the folder for the store and the home folder.
        base: the reference of the base image.
    """

    name = "ours"

    def __init__(self, work: Path, base: str) -> None:
        self.store = work / "store"
        self.base = base
        self._environ = {
            **os.environ,
            "HOME": str(work / "home"),
            "XDG_CACHE_HOME": str(work / "home/.cache"),
            "CONDABUILD_STORE_DIR": str(self.store),
        }

    def forget(self) -> None:
        """Removes the store, so that the next build runs as on a new node."""
        shutil.rmtree(self.store, ignore_errors=True)

    def layers(self) -> list[Path]:
        """Returns the paths of the layers in the store."""
        layers = [json.loads(path.read_bytes()) for path in sorted(self.store.glob("layers/*.json"))]
        return [self.store / "blobs" / layer["descriptor"]["digest"].replace(":", "/") for layer in layers]

    def build(
        self,
        environment: Environment,
        reference: str,
        *,
        cache_from: str = "",
        to: Sequence[str] = ("--push",),
        pool: str = "",
    ) -> Sample:
        """Builds an image from the environment.

        Args:
            to: options that say where the image goes, and other options.
            pool: the repository of a layer pool.
        """
        return self._build([str(environment.prefix)], reference, cache_from, to, pool)

    def build_lockfile(self, environment: Environment, reference: str, *, cache_from: str = "") -> Sample:
        """Builds an image from the lock file and pushes it, as a node without environment and package cache does."""
        return self._build(["--lockfile", str(environment.lockfile)], reference, cache_from, ["--push"])

    def _build(
        self, source: Sequence[str], reference: str, cache_from: str, to: Sequence[str], pool: str = ""
    ) -> Sample:
        cache = ["--cache-from", cache_from] if cache_from else []
        return self.run(["build", *source, "-t", reference, "--base", self.base, *to, *cache], pool)

    def run(self, arguments: Sequence[str], pool: str = "", processors: int = 0) -> Sample:
        """Runs a command. The notes of the sample are the seconds of each phase, and the processor seconds.

        Args:
            processors: the number of processors that the command is told; 0 for that of the machine. If the machine has
                more, the command may use only so many.
        """
        program = ["-c", _FORCED, str(processors)] if processors else ["-m", "jupyter_condabuild"]
        command = [sys.executable, *program, *arguments, "--events", "jsonl"]
        before = _processor_seconds()
        with measured(os.getpid(), itself=False) as sample:
            environ = {**self._environ, "CONDABUILD_LAYER_POOL": pool, "CONDABUILD_TRUSTED_REPOSITORIES": pool}
            done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
        sample.notes["processor"] = _processor_seconds() - before
        events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        for event in events:
            if event["type"] == "phase" and event["state"] == "done":
                sample.notes[event["name"]] = event["seconds"]
            if event["type"] == "finished":
                sample.moved = event["bytes_pushed"]
        return sample


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
