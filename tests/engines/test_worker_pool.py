"""The layer writers: the result is the same for any number of workers, also if a worker is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from jupyter_condabuild.conda.linking.extracted import Extracted
from jupyter_condabuild.conda.linking.link import StagedPackage, link
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.engines.layers import writer
from jupyter_condabuild.engines.layers.worker_pool import Job, run
from jupyter_condabuild.errors import CondaBuildError, LinkFailed, PackageMismatch, StoreError
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.oci.layer import LayerBlob
from tests.parts.builds import install, small_channel
from tests.parts.channel.package import File, Metadata

NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StagedPackage]:
    """Four linked packages with different sizes."""
    folder = tmp_path_factory.mktemp("pool")
    packages = [
        (Metadata(name, "1.0", noarch="generic"), [File(f"share/{name}", os.urandom(300_000 * (number + 1)))])
        for number, name in enumerate(NAMES)
    ]
    prefix = install(folder / "env", small_channel(folder / "channel", packages), *NAMES)
    locked, caches = lock(snapshot(prefix)).conda, PackageCaches([folder / "pkgs"])
    sources = {package.dist: found for package in locked if (found := caches.find(package))}
    return {item.package.name: item for item in link(locked, sources, folder / "link", PREFIX).values()}


class Answers:
    """The results of the jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, LayerBlob | CondaBuildError] = {}
        self.order: list[str] = []

    def job(self, item: StagedPackage, temporary: Path | None = None) -> Job:
        name = item.package.name

        def done(answer: LayerBlob | CondaBuildError) -> None:
            self.found[name] = answer
            self.order.append(name)

        line = writer.job([item], (), None, str(temporary or self.folder / name), 1)
        return Job(ord(name), line, lambda count: None, done)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_number_of_workers_does_not_matter(staged: dict[str, StagedPackage], tmp_path: Path, workers: int) -> None:
    """The result is the same without workers, too."""
    here, there = Answers(tmp_path / "here"), Answers(tmp_path / "there")
    for answers, number in ((here, 0), (there, workers)):
        answers.folder.mkdir()
        run([answers.job(staged[name]) for name in NAMES], number)
    assert here.found == there.found
    assert all(isinstance(blob, LayerBlob) for blob in here.found.values())
    assert (here.folder / "a").read_bytes() == (there.folder / "a").read_bytes()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_job_with_the_greatest_effort_starts_first(
    staged: dict[str, StagedPackage], tmp_path: Path, workers: int
) -> None:
    """Otherwise it could be the last job, on one worker alone."""
    answers = Answers(tmp_path)
    run([answers.job(staged[name]) for name in NAMES], workers)
    assert answers.order == ["d", "c", "b", "a"]


@contextmanager
def writing_to(fifo: Path) -> Iterator[psutil.Process]:
    """Returns the process that writes a layer to this pipe, and waits for a reader."""
    with fifo.open("rb"):
        (found,) = (child for child in psutil.Process().children(recursive=True) if str(fifo) in _open_paths(child))
        yield found


def _open_paths(process: psutil.Process) -> set[str]:
    folder = Path(f"/proc/{process.pid}/fd")
    return {os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink()}


def test_a_killed_worker_fails_only_its_job(staged: dict[str, StagedPackage], tmp_path: Path) -> None:
    """The kernel can kill it for lack of memory. Another worker takes its place."""
    answers = Answers(tmp_path)
    os.mkfifo(tmp_path / "pipe")

    def kill() -> None:
        with writing_to(tmp_path / "pipe") as worker:
            worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    jobs = [answers.job(staged["d"], tmp_path / "pipe"), *(answers.job(staged[name]) for name in "abc")]
    run(jobs, 1)
    killer.join()
    assert isinstance(answers.found["d"], LinkFailed)
    assert "status -9" in answers.found["d"].message
    assert answers.found["d"].hint
    assert all(isinstance(answers.found[name], LayerBlob) for name in "abc")


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_keep_their_class(staged: dict[str, StagedPackage], tmp_path: Path, workers: int) -> None:
    """Message and hint are sent from the other process."""
    answers = Answers(tmp_path)
    broken = replace(staged["a"], extracted=Extracted(tmp_path / "copy"))
    subprocess.run(["cp", "-r", staged["a"].extracted.folder, tmp_path / "copy"], check=True)
    (tmp_path / "copy/share/a").write_bytes(b"other")
    run([answers.job(broken), answers.job(staged["b"], tmp_path / "nowhere/b")], workers)
    mismatch, store = answers.found["a"], answers.found["b"]
    assert type(mismatch) is PackageMismatch
    assert "package a-1.0-0" in mismatch.message
    assert mismatch.hint
    assert type(store) is StoreError
    assert "nowhere/b" in store.message


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_file_is_a_damaged_package(staged: dict[str, StagedPackage], tmp_path: Path, workers: int) -> None:
    """The archive of the package is used instead. A link in place of the file is also damage."""
    answers = Answers(tmp_path)
    for name in ("a", "b"):
        subprocess.run(["cp", "-r", staged[name].extracted.folder, tmp_path / f"copy-{name}"], check=True)
        (tmp_path / f"copy-{name}/share/{name}").unlink()
    (tmp_path / "copy-b/share/b").symlink_to("/etc/hostname")
    jobs = [answers.job(replace(staged[name], extracted=Extracted(tmp_path / f"copy-{name}"))) for name in ("a", "b")]
    run(jobs, workers)
    assert {type(answer) for answer in answers.found.values()} == {PackageMismatch}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_in_a_callback_ends_the_pool(
    staged: dict[str, StagedPackage], tmp_path: Path, workers: int
) -> None:
    """The exception is raised, and no process is left."""
    answers = Answers(tmp_path)

    def fail(answer: object) -> None:
        raise BrokenPipeError("the reader of the events has gone")

    jobs = [Job(9, answers.job(staged["d"]).line, lambda count: None, fail)]
    with pytest.raises(BrokenPipeError):
        run(jobs, workers)
    assert not [child for child in psutil.Process().children() if "writer" in " ".join(child.cmdline())]


SLOW = """
import sys
from jupyter_condabuild.engines.layers.worker_pool import Job, run
print(flush=True)
run([Job(1, sys.argv[1], print, print)], 1)
"""


def test_an_interrupt_prints_no_traceback_of_a_worker(staged: dict[str, StagedPackage], tmp_path: Path) -> None:
    """Ctrl-C is sent to the whole process group. The workers leave it to the main process, and end with it."""
    answers = Answers(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    line = answers.job(staged["d"], tmp_path / "pipe").line
    code = "import signal\nsignal.signal(signal.SIGINT, lambda *_: exit(130))" + SLOW
    command = [sys.executable, "-c", code, line]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0) as process,
        writing_to(tmp_path / "pipe") as worker,
    ):
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"")
    assert not worker.is_running()


def test_modules_in_the_users_folder_are_not_imported(
    staged: dict[str, StagedPackage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with notebooks can contain a file json.py."""
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working folder')\n")
    monkeypatch.chdir(tmp_path)
    answers = Answers(tmp_path)
    run([answers.job(staged["a"])], 1)
    assert isinstance(answers.found["a"], LayerBlob)


def test_a_worker_ends_with_its_main_process(staged: dict[str, StagedPackage], tmp_path: Path) -> None:
    """A worker ends at the end of its standard input. No process outlives a build."""
    os.mkfifo(tmp_path / "pipe")
    line = Answers(tmp_path).job(staged["d"], tmp_path / "pipe").line
    command = [sys.executable, "-c", SLOW, line]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as leader,
        writing_to(tmp_path / "pipe") as worker,
    ):
        leader.kill()
        leader.wait()
    psutil.wait_procs([worker], timeout=60)
    assert not worker.is_running()
