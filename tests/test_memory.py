"""Memory: what a build holds does not grow with what it moves."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import psutil

from tests.builds import install
from tests.channel import channel as channels
from tests.channel.channel import Channel
from tests.channel.special import LargePackage
from tests.command_line import CommandLine

PACKAGE = 2 << 30
LIMIT = 300 << 20
"""Bytes that the process tree may have beyond interpreters that do nothing."""

INTERPRETER = 12 << 20


def peak_of_tree(process: psutil.Process, ended: threading.Event) -> int:
    """The largest sum of unshared memory (bytes) of a process and those below it, looked at every 50 ms."""
    peak = 0
    while not ended.wait(0.05):
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += max(0, one.memory_full_info().uss - INTERPRETER)
            except psutil.Error:
                continue
        peak = max(peak, total)
    return peak


def test_a_package_of_two_gigabytes_fits_into_300_megabytes(tmp_path: Path, small_base: str, registry: str) -> None:
    """Linked, compressed, hashed and pushed as a stream: the process tree's peak stays below the limit."""
    channel = channels.add(Channel(tmp_path / "channel"), [LargePackage("big", PACKAGE)])
    prefix = install(tmp_path / "env", channel, "big")
    run = CommandLine(tmp_path)
    process = run.start(
        *("build", prefix, "-t", f"{registry}/memory/big:1", "--push", "-o", "image.tar", "--base", small_base),
        *("--events", "jsonl"),
    )
    ended = threading.Event()
    peaks: list[int] = []
    watch = threading.Thread(target=lambda: peaks.append(peak_of_tree(psutil.Process(process.pid), ended)))
    watch.start()
    _, errors = process.communicate(timeout=400)
    ended.set()
    watch.join()
    assert process.returncode == 0, errors
    assert os.path.getsize(tmp_path / "image.tar") > PACKAGE // 4
    assert peaks[0] < LIMIT, f"{peaks[0] >> 20} MiB"
