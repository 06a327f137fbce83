"""Which platform is taken of a lock file, in each format."""

from __future__ import annotations

import json

import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.errors import LockfileError


def _for_platforms(*platforms: str) -> dict[str, str]:
    """A lock file for these platforms in each format that holds several; one package, whose URL names the platform."""
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
def test_of_a_lock_file_for_several_platforms_one_is_taken(
    format: str, machine: str, wanted: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform that is asked for, else the Linux platform of this machine's processor, else linux-64."""
    monkeypatch.setattr("platform.machine", lambda: machine)
    found = load(_for_platforms("linux-64", "linux-aarch64", "osx-arm64")[format], wanted)
    assert (found.platform, found.conda[0].subdir) == (taken, taken)
    assert found.platforms == ("linux-64", "linux-aarch64", "osx-arm64")


@pytest.mark.parametrize("format", ["conda-lock", "pixi"])
def test_a_platform_that_a_lock_file_is_not_for_is_refused(format: str) -> None:
    """The message names the platforms that there are; a single one needs no choice."""
    with pytest.raises(LockfileError, match="linux-64, osx-arm64, not for win-64"):
        load(_for_platforms("linux-64", "osx-arm64")[format], "win-64")
    with pytest.raises(LockfileError, match="osx-arm64, win-64") as failed:
        load(_for_platforms("osx-arm64", "win-64")[format])
    assert "--platform" in failed.value.hint
    assert load(_for_platforms("osx-arm64")[format]).platform == "osx-arm64"


@pytest.mark.parametrize(
    ("head", "platform"), [("# platform: linux-64\n", "linux-64"), ("", "linux-aarch64"), ("# platform: x\n", "x")]
)
def test_the_platform_of_an_explicit_file_is_told_by_its_comment_or_its_urls(head: str, platform: str) -> None:
    """Without both, it is this machine's."""
    urls = ["https://h/noarch/y-1-0.conda", "https://h/linux-aarch64/x-1-0.conda"]
    assert load("\n".join([f"{head}@EXPLICIT", *urls])).platform == platform
    assert load(f"@EXPLICIT\n{urls[0]}", "linux-64").platform == "linux-64"
    with pytest.raises(LockfileError, match=f"is for {platform}, not for osx-64"):
        load("\n".join([f"{head}@EXPLICIT", *urls]), "osx-64")
