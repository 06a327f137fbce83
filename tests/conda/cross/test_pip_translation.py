"""The pip packages of an environment get the wheels of another platform, and what they need there alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jupyter_condabuild.conda.cross.target import Target
from jupyter_condabuild.conda.cross.wheels import Translated, translate_pip
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotCompatible
from tests.parts.channel.wheel_index import WheelIndex
from tests.parts.small_prefix import SmallPrefix

LINUX = Target("linux-64", glibc="2.28")
ARM = Target("linux-aarch64", glibc="2.28")


class Mac:
    """A macOS environment with pip packages from an index."""

    def __init__(self, folder: Path, index: WheelIndex) -> None:
        self.small = SmallPrefix(folder / "mac")
        self.small.python(subdir="osx-arm64")
        (self.small.path / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\n")

    def install(self, *names: str) -> None:
        """Installs packages, each ``NAME==VERSION``."""
        for spec in names:
            name, _, version = spec.partition("==")
            for path, data in self.small.distribution(name, version or "1.0", installer="pip").items():
                self.small.write(path, data)

    def translated(self, target: Target = LINUX, *leave_out: str, conda: tuple[str, ...] = ()) -> Translated:
        """Finds the packages for a platform on which there are Python and these conda packages."""
        return translate_pip(lock(snapshot(self.small.path)), locked(target.platform, *conda), target, leave_out)

    def translated_url(self, url: str) -> Translated:
        """Finds the package ``tool`` that was installed from a URL."""
        self.small.pip("tool", direct_url={"url": url, "archive_info": {}})
        return self.translated()


def locked(platform: str, *specs: str) -> Lockfile:
    """Returns a lock file with Python 3.11 and packages, each ``NAME==VERSION``."""
    named = [spec.partition("==") for spec in ("python==3.11.7", *specs)]
    packages = [
        CondaPackage.of_url(f"https://h/lab/{platform}/{name}-{version}-h0_cpython.conda") for name, _, version in named
    ]
    return of_packages(platform, packages, ())


@pytest.fixture
def mac(tmp_path: Path, index: WheelIndex) -> Mac:
    """A macOS environment."""
    return Mac(tmp_path, index)


def files(found: Translated) -> dict[str, str]:
    """Returns the file name of each package."""
    return {package.name: package.url.rpartition("/")[2] for package in found.packages}


def test_a_pure_wheel_is_the_same_file(mac: Mac, index: WheelIndex) -> None:
    """The lock file has its URL and its hash."""
    index.wheel("pure")
    index.wheel("pure", "2.0")
    mac.install("pure")
    found = mac.translated()
    assert files(found) == {"pure": "pure-1.0-py3-none-any.whl"}
    assert found.packages[0].sha256 == index.entries["pure"][0]["hashes"]["sha256"]
    assert [(row.name, row.here, row.there, row.level) for row in found.rows] == [("pure", "1.0", "1.0", "same-build")]


def test_the_wheel_is_the_best_one_for_the_platform(mac: Mac, index: WheelIndex) -> None:
    """Neither a newer glibc than the base's, nor musl, nor another Python, nor another processor counts."""
    for tag in (
        *("cp311-cp311-macosx_11_0_arm64", "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"),
        *(
            "cp311-cp311-manylinux_2_28_x86_64",
            "cp311-cp311-manylinux_2_34_x86_64",
            "cp312-cp312-manylinux_2_28_x86_64",
        ),
        *("cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-win_amd64", "cp38-abi3-manylinux2014_aarch64"),
    ):
        index.wheel("fast", tag=tag)
    mac.install("fast")
    assert files(mac.translated()) == {"fast": "fast-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"}
    assert files(mac.translated(ARM)) == {"fast": "fast-1.0-cp38-abi3-manylinux2014_aarch64.whl"}
    old = files(mac.translated(Target("linux-64", glibc="2.17")))
    assert old == {"fast": "fast-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"}


def test_a_single_wheel_stays_if_it_is_for_every_system(mac: Mac) -> None:
    """It comes from no index that could have another one."""
    found = mac.translated_url("https://h/files/tool-1.0-py3-none-any.whl")
    assert files(found) == {"tool": "tool-1.0-py3-none-any.whl"}
    with pytest.raises(NotCompatible, match=r"The wheel of tool from .* is not for linux-64") as caught:
        mac.translated_url("https://h/files/tool-1.0-cp311-cp311-macosx_11_0_arm64.whl")
    assert "--leave-out tool" in caught.value.hint


@pytest.mark.parametrize("metadata", [True, False])
def test_markers_count_for_the_platform(mac: Mac, index: WheelIndex, metadata: bool) -> None:
    """A torch for Linux needs packages of NVIDIA, each in a version that fits, and these need others."""
    marker = 'platform_system == "Linux" and platform_machine == "x86_64"'
    tag = "cp311-none-manylinux2014_x86_64"
    needs = (f"nvidia-cublas==12.1 ; {marker}", 'pyobjc ; sys_platform == "darwin"', 'extra-one ; extra == "more"')
    index.wheel("torch", "2.3", "cp311-cp311-manylinux1_x86_64", requires=needs, metadata=metadata)
    index.wheel("torch", "2.3", "cp311-cp311-manylinux2014_aarch64", requires=needs)
    index.wheel("nvidia-cublas", "12.1", tag, requires=("nvidia-runtime>=12,<13",), metadata=metadata)
    index.wheel("nvidia-cublas", "12.5", tag)
    for version in ("12.0", "12.4", "13.0"):
        index.wheel("nvidia-runtime", version, tag)
    mac.install("torch==2.3")
    found = mac.translated()
    assert {package.name: package.version for package in found.packages} == {
        "torch": "2.3",
        "nvidia-cublas": "12.1",
        "nvidia-runtime": "12.4",
    }
    assert {row.name: row.why for row in found.rows if row.level == "added"} == {
        "nvidia-cublas": "torch needs it there",
        "nvidia-runtime": "nvidia-cublas needs it there",
    }
    assert files(mac.translated(ARM)).keys() == {"torch"}


def test_what_conda_has_is_not_added(mac: Mac, index: WheelIndex) -> None:
    """The name on PyPI may be written in another way."""
    index.wheel("tool", requires=("typing_extensions>=4",))
    mac.install("tool")
    assert files(mac.translated(conda=("typing-extensions==4.9",))).keys() == {"tool"}


def test_another_version_on_the_platform_must_fit(mac: Mac, index: WheelIndex) -> None:
    """Here numpy fits; the solver has found another one there."""
    index.wheel("tool", requires=("numpy<2",))
    mac.install("tool")
    mac.small.add("numpy", "1.26.4", subdir="osx-arm64")
    assert files(mac.translated(conda=("numpy==1.26.4",))).keys() == {"tool"}
    with pytest.raises(NotCompatible, match=r"tool requires numpy<2, but .* has numpy 2\.1") as caught:
        mac.translated(conda=("numpy==2.1",))
    assert "--leave-out tool" in caught.value.hint


def test_a_source_distribution_without_a_wheel_is_named(mac: Mac, index: WheelIndex) -> None:
    """The lock file has it, with its hash."""
    index.wheel("odd", tag="cp311-cp311-macosx_11_0_arm64")
    index.sdist("odd")
    mac.install("odd")
    found = mac.translated()
    assert (files(found), found.sources_only) == ({"odd": "odd-1.0.tar.gz"}, ("odd",))
    assert found.rows[0].why == "only a source distribution, which is built at the installation"


def test_a_package_without_any_file_is_refused(mac: Mac, index: WheelIndex) -> None:
    """The message names it, and says how to go on without it."""
    index.wheel("maconly", tag="cp311-cp311-macosx_11_0_arm64")
    mac.install("maconly")
    with pytest.raises(NotCompatible, match=r"no file of maconly 1\.0 for linux-64\.") as caught:
        mac.translated()
    assert "--leave-out maconly" in caught.value.hint
    assert mac.translated(LINUX, "maconly").packages == ()


def test_packages_of_macos_alone_are_left_out(mac: Mac, index: WheelIndex) -> None:
    """What has another name on Linux is found under that name."""
    index.wheel("tensorflow", "2.12", "cp311-cp311-manylinux2014_x86_64")
    mac.install("tensorflow-macos==2.12", "pyobjc-core==10")
    found = mac.translated()
    assert files(found).keys() == {"tensorflow"}
    assert {row.name: row.level for row in found.rows} == {
        "tensorflow-macos": "left-out",
        "pyobjc-core": "left-out",
        "tensorflow": "added",
    }


def test_a_hostile_index_gives_no_package(mac: Mac, index: WheelIndex) -> None:
    """Its entries have other types than the specification says, URLs of other kinds, or names of other packages."""
    wheel = {"filename": "pure-1.0-py3-none-any.whl", "hashes": {"sha256": "0" * 64}}
    urls = [[{**wheel, "url": url}] for url in (7, "file:///etc/passwd", "https://[/pure.whl")]
    evil = {**wheel, "filename": "evil-1.0-py3-none-any.whl", "url": "../evil.whl"}
    for entries in ("files", [1], [{}], *urls, [evil], None):
        index.host.files["/simple/pure/"] = json.dumps({"files": entries}).encode()
        mac.install("pure")
        with pytest.raises(NotCompatible, match=r"no file of pure 1\.0"):
            mac.translated()
