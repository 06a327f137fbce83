"""Which images run on this machine."""

from __future__ import annotations

import platform

import pytest

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.image.platforms import PLATFORMS, architecture_of, check_names, host_architecture, runs_here


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


def test_docker_names_platforms_otherwise() -> None:
    """An image of an index is chosen by either name. For a build, the error has conda's name."""
    assert architecture_of("linux/arm64") == architecture_of("linux-aarch64") == "arm64"
    with pytest.raises(UsageError, match="linux/amd64") as caught:
        check_names(["linux/amd64"])
    assert caught.value.hint == "Write linux-64."
