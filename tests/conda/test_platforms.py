"""The choice of the platform in a lock file, in each format."""

from __future__ import annotations

import json

import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.platforms import linux_platform
from jupyter_condabuild.conda.prefix.snapshot import _platform
from jupyter_condabuild.errors import LockfileError


def _for_platforms(*platforms: str) -> dict[str, str]:
    """Returns a lock file for these platforms in each format that supports several.

    The package's URL has the platform.
    """
    urls = {platform: f"https://h/{platform}/x-1-0.conda" for platform in platforms}
    md5 = "0" * 32
    entry = {"name": "x", "version": "1", "manager": "conda", "dependencies": {}, "hash": {"md5": md5}}
    entries = [{**entry, "platform": platform, "url": url} for platform, url in urls.items()]
    conda_lock = {"version": 1, "metadata": {"platforms": platforms}, "package": entries}
    default = {"packages": {platform: [{"conda": url}] for platform, url in urls.items()}}
    pixi = {"version": 6, "environments": {"default": default}}
    pixi["packages"] = [{"conda": url, "md5": md5} for url in urls.values()]
    return {"conda-lock": json.dumps(conda_lock), "pixi": json.dumps(pixi)}


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
@pytest.mark.parametrize(
    ("machine", "wanted", "taken"),
    [
        ("x86_64", "", "linux-64"),
        ("aarch64", "", "linux-aarch64"),
        ("arm64", "", "linux-aarch64"),
        ("riscv64", "", "linux-64"),
        ("x86_64", "linux-aarch64", "linux-aarch64"),
        ("x86_64", "osx-arm64", "osx-arm64"),
    ],
)
def test_one_platform_of_a_lock_file_is_chosen(
    format: str, machine: str, wanted: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice is the requested platform, or the Linux platform of this machine's processor, or linux-64."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    found = load(_for_platforms("linux-64", "linux-aarch64", "osx-arm64")[format], wanted)
    assert (found.platform, found.conda[0].subdir) == (taken, taken)
    assert found.choices.platforms == ("linux-64", "linux-aarch64", "osx-arm64")


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_a_platform_that_a_lock_file_lacks_is_refused(format: str) -> None:
    """The message names the platforms in the file. If there is only one, it is used."""
    with pytest.raises(LockfileError, match="linux-64, osx-arm64, not for win-64"):
        load(_for_platforms("linux-64", "osx-arm64")[format], "win-64")
    with pytest.raises(LockfileError, match="osx-arm64, win-64") as failed:
        load(_for_platforms("osx-arm64", "win-64")[format])
    assert "--platform" in failed.value.hint
    assert load(_for_platforms("osx-arm64")[format]).platform == "osx-arm64"


def test_the_platform_of_an_explicit_file_is_read_from_its_comment_or_urls() -> None:
    """Without both, it is the platform that the user asked for, or that of this machine."""
    noarch, linux = "https://h/noarch/y-1-0.conda", "https://h/linux-aarch64/x-1-0.conda"
    assert load(f"# platform: linux-aarch64\n@EXPLICIT\n{noarch}").platform == "linux-aarch64"
    assert load(f"@EXPLICIT\n{noarch}\n{linux}").platform == "linux-aarch64"
    assert load(f"@EXPLICIT\n{noarch}", "linux-64").platform == "linux-64"
    assert load(f"@EXPLICIT\n{noarch}").platform == linux_platform()
    with pytest.raises(LockfileError, match="is for linux-aarch64, not for osx-64"):
        load(f"@EXPLICIT\n{noarch}\n{linux}", "osx-64")


@pytest.mark.parametrize(
    ("machine", "platform"),
    [("x86_64", "linux-64"), ("i686", "linux-32"), ("arm64", "linux-aarch64"), ("ppc64le", "linux-ppc64le")],
)
def test_an_environment_without_a_platform_is_for_this_machine(
    machine: str, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment of only noarch packages has the default platform of a lock file."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert _platform([]) == linux_platform() == platform
