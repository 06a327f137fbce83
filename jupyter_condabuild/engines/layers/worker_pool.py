"""The processes that write the layers of a build: one process for each core, and the longest job first."""

from __future__ import annotations

import json
import queue
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
from jupyter_condabuild.system import process_tree


@dataclass(order=True)
class Job:
    """A job for a worker. Jobs are ordered by `effort`, in any unit.

    `line` is the text that the worker reads. `progress` is called with the bytes of the tar file that were written
    since the last call. `done` is called once, with the blob or the error.
    """

    effort: int
    line: str = field(compare=False)
    progress: Callable[[int], None] = field(compare=False)
    done: Callable[[LayerBlob | CondaBuildError], None] = field(compare=False)

    def answered(self, answer: dict[str, Any]) -> bool:
        """Passes an answer of a worker to the callbacks; returns whether it was the last answer of the job."""
        if "progress" in answer:
            self.progress(answer["progress"])
            return False
        self.done(_error(answer) if "error" in answer else _blob(answer))
        return True


def run(jobs: Sequence[Job], workers: int) -> None:
    """Runs all jobs in `workers` processes, or in this process if `workers` is 0.

    With processes, the callbacks of the jobs are called from several threads. If a worker dies, its job is done with
    LinkFailed, and a new worker takes the next job. An exception in a callback ends the pool and is raised here.
    """
    if not workers:
        with writer.Writer() as own_writer:
            for job in sorted(jobs, reverse=True):
                own_writer.run(job.line, job.answered)
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
                alive = _run_job(process, job)
        except BaseException as error:  # noqa: BLE001  run() raises it
            failures.append(error)

    threads = [threading.Thread(target=serve) for _ in range(min(workers, len(jobs)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException as error:  # for example Ctrl-C: no worker may outlive this process
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
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        **process_tree.GROUP,  # Ctrl-C reaches only this process, which then ends the workers
    )


def _kill(process: subprocess.Popen[str]) -> None:
    """Ends a worker and the processes that it has started."""
    if process.poll() is None:
        process_tree.kill_group(process.pid)


def _end(process: subprocess.Popen[str]) -> None:
    _kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(BrokenPipeError):
                pipe.close()


def _run_job(process: subprocess.Popen[str], job: Job) -> bool:
    """Runs one job in a worker; returns whether the worker is still alive."""
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
            f"A process that writes layers ended unexpectedly (status {status}).",
            "The system may have ended it for lack of memory. Try again with fewer other programs running.",
        )
    )
    return False


def _blob(answer: dict[str, Any]) -> LayerBlob:
    return LayerBlob(Descriptor.parse(answer["descriptor"]), Digest.parse(answer["diff_id"]), answer["tar_size"])


def _error(answer: dict[str, Any]) -> CondaBuildError:
    kind: type[CondaBuildError] = getattr(errors, answer["error"], CondaBuildError)
    return kind(answer["message"], answer["hint"])
