"""Which images run on this machine."""

from __future__ import annotations

import platform

import pytest

from jupyter_condabuild.image.platforms import PLATFORMS, host_architecture, runs_here


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", "amd64"), ("AMD64", "amd64"), ("arm64", "arm64"), ("ARM64", "arm64"), ("aarch64", "arm64")],
)
def test_each_system_has_its_own_name_for_a_processor(
    monkeypatch: pytest.MonkeyPatch, machine: str, expected: str
) -> None:
    """Windows writes capital letters, and macOS another name than Linux."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert host_architecture() == expected


def test_only_linux_runs_the_programs_of_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac with the same processor, nothing of the image is started."""
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert [name for name in PLATFORMS if runs_here(name, "linux")] == ["linux-aarch64"]
    for system in ("darwin", "win32"):
        assert not any(runs_here(name, system) for name in PLATFORMS)
