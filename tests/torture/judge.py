"""Runs a case and says what went wrong: outside of its folders, executed, not caught, too long, too large."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from tests.torture.case import SECRET, Case, Place

SECONDS = 2.0
"""The processor time that a command may take."""

MEGABYTES = 300
"""The memory that a command may have at once, largest process."""

_WALL_SECONDS = 60.0
_MEASURED = Path(__file__).with_name("measured.py")
_LARGEST_FILE = 64 << 20


@dataclass
class Verdict:
    """The result of a case; without `faults` the program survived it."""

    case: Case
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: float = 0.0
    statuses: list[int] = field(default_factory=list)
    output: str = ""


def judge(case: Case, limit: float = SECONDS) -> Verdict:
    """Runs the commands of a case in new folders."""
    verdict = Verdict(case)
    with TemporaryDirectory(prefix="torture-") as folder:
        place = Place.make(Path(folder))
        commands = [list(map(str, command)) for command in case.prepare(place)]
        before = place.protected()
        for command in commands:
            _run(command, place, case, verdict, limit)
        _compare(before, place.protected(), verdict)
        if place.executed.exists():
            verdict.faults.append("a hostile program was executed")
        for text in (SECRET, *case.absent):
            if text in verdict.output:
                verdict.faults.append(f"{text!r} was printed")
            verdict.faults += [f"{text!r} is in {name}" for name in _holding(text.encode(), place)]
        if case.refused and not any(verdict.statuses):
            verdict.faults.append("the input was accepted")
    return verdict


def _run(command: list[str], place: Place, case: Case, verdict: Verdict, limit: float) -> None:
    words = [sys.executable, "-m", "jupyter_condabuild", *command]
    environ = {**place.environ(), **case.environ}
    with TemporaryFile() as output:
        measured, end = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-IS", _MEASURED, str(end), *words],
            cwd=place.work,
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[end],
            start_new_session=True,
        )
        os.close(end)
        try:
            process.wait(_WALL_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            verdict.faults.append(f"{command[0]} did not end in {_WALL_SECONDS:.0f} s")
        with open(measured) as file:
            status, seconds, megabytes = json.loads(file.read() or "[-9, 0, 0]")
        output.seek(0)
        text = output.read().decode(errors="replace")
    verdict.output += text
    verdict.statuses.append(status)
    verdict.seconds, verdict.megabytes = max(verdict.seconds, seconds), max(verdict.megabytes, megabytes)
    if status not in (0, 1, 2):
        verdict.faults.append(f"{command[0]} ended with {status}")
    if "Traceback" in text or "unexpected error" in text or '"unexpected"' in text:
        verdict.faults.append(f"{command[0]} raised an error that nothing caught: {text[-300:]}")
    if seconds > limit:
        verdict.faults.append(f"{command[0]} took {seconds:.1f} s")
    if megabytes > MEGABYTES:
        verdict.faults.append(f"{command[0]} took {megabytes:.0f} MB")
    if any(ord(char) < 32 and char not in "\n\t" for char in text) or "\x7f" in text or "\x9b" in text:
        verdict.faults.append(f"{command[0]} printed control characters")


def _compare(before: dict[str, str], after: dict[str, str], verdict: Verdict) -> None:
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path) and path != "executed" and not path.startswith("home/.cache"):
            verdict.faults.append(f"{path} was {'changed' if path in before and path in after else 'made or removed'}")


def _holding(text: bytes, place: Place) -> Iterator[str]:
    """The files that commands wrote and that have a text, also inside of archives and compressed layers."""
    for folder in (place.out, place.store, place.temporary):
        for root, _, files in os.walk(folder):
            for name in files:
                path = Path(root, name)
                if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_FILE:
                    continue
                if any(text in part for part in _parts(path.read_bytes())):
                    yield str(path.relative_to(place.folder))


def _parts(data: bytes, depth: int = 0) -> Iterator[bytes]:
    yield data
    if depth > 3:
        return
    if data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError):
            yield from _parts(gzip.decompress(data), depth + 1)
    elif data[257:262] == b"ustar":
        with suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                yield json.dumps([member.name, member.linkname, member.pax_headers]).encode()
                if member.isreg() and (file := archive.extractfile(member)):
                    yield from _parts(file.read(), depth + 1)
