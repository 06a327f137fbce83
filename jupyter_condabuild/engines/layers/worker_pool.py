"""The layer writers of one build: as many processes as cores, the layer that takes longest first."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jupyter_condabuild import errors
from jupyter_condabuild.engines.layers import writer
from jupyter_condabuild.errors import CondaBuildError, LinkFailed
from jupyter_condabuild.oci.image import Descriptor, Digest
from jupyter_condabuild.oci.layer import LayerBlob


@dataclass(order=True)
class Job:
    """A line for a worker, and what to do with its answers; ordered by effort, in any unit."""

    effort: int
    line: str = field(compare=False)
    progress: Callable[[int], None] = field(compare=False)
    done: Callable[[LayerBlob | CondaBuildError], None] = field(compare=False)

    def answered(self, answer: dict[str, Any]) -> bool:
        """Passes a worker's answer on; returns whether it was the last."""
        if "progress" in answer:
            self.progress(answer["progress"])
            return False
        self.done(_error(answer) if "error" in answer else _blob(answer))
        return True


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(jobs: Sequence[Job], workers: int) -> None:
    """Has all jobs done by `workers` processes, or by this one where that is 0.

    `done` and `progress` are called from threads.

    A worker that dies answers its job with LinkFailed. An exception in a callback ends the pool and is raised.
    """
    if not workers:
        with writer.Writer() as one:
            for job in sorted(jobs, reverse=True):
                one.run(job.line, job.answered)
        return
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in sorted(jobs, reverse=True):
        waiting.put(job)
    failures: list[BaseException] = []
    processes: list[subprocess.Popen[str]] = []

    def serve() -> None:
        alive = False
        try:
            while not failures:
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    break
                if not alive:
                    process = _start()
                    processes.append(process)
                alive = _ask(process, job)
        except BaseException as error:  # noqa: BLE001  run() raises it
            failures.append(error)

    threads = [threading.Thread(target=serve) for _ in range(min(workers, len(jobs)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException as error:  # Ctrl-C: the workers go before we do
        failures.append(error)
        for process in processes:
            _kill(process)
        for thread in threads:
            thread.join()
        raise
    finally:
        for process in processes:
            _end(process)
    if failures:
        raise failures[0]


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "jupyter_condabuild.engines.layers.writer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,  # Ctrl-C is for us: we end the workers
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
    )


def _kill(process: subprocess.Popen[str]) -> None:
    """Ends a worker and what it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[str]) -> None:
    _kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()


def _ask(process: subprocess.Popen[str], job: Job) -> bool:
    """Has one job done; returns whether the worker lived through it."""
    assert process.stdin
    assert process.stdout
    with suppress(BrokenPipeError):
        process.stdin.write(job.line + "\n")
        process.stdin.flush()
    for line in process.stdout:
        if job.answered(json.loads(line)):
            return True
    status = process.wait()
    job.done(
        LinkFailed(
            f"A layer writer ended unexpectedly (status {status}).",
            "It may have been ended for lack of memory; try again with fewer other programs running.",
        )
    )
    return False


def _blob(answer: dict[str, Any]) -> LayerBlob:
    return LayerBlob(Descriptor.parse(answer["descriptor"]), Digest.parse(answer["diff_id"]), answer["tar_size"])


def _error(answer: dict[str, Any]) -> CondaBuildError:
    kind: type[CondaBuildError] = getattr(errors, answer["error"], CondaBuildError)
    return kind(answer["message"], answer["hint"])
