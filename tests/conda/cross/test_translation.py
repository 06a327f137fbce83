"""An environment is solved again for another platform; each package stays as close as the others allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.cross.source import installed
from jupyter_condabuild.conda.cross.target import Target, cuda_of
from jupyter_condabuild.conda.cross.translation import Translation, translate
from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotCompatible, UsageError
from tests.parts.channel import platforms
from tests.parts.channel.channel import Channel
from tests.parts.channel.platforms import plain

LINUX = Target("linux-64", glibc="2.36")
ARM = Target("linux-aarch64", glibc="2.36")


def record(name: str, version: str, build: str = "h0_0", *depends: str, subdir: str = "osx-arm64") -> dict[str, Any]:
    """Returns the record of an installed package."""
    number = next((int(part) for part in reversed(build.split("_")) if part.isdecimal()), 0)
    fn = f"{name}-{version}-{build}.conda"
    members = {"name": name, "version": version, "build": build, "build_number": number, "subdir": subdir, "fn": fn}
    return {**members, "depends": list(depends), "url": f"https://h/lab/{subdir}/{fn}", "sha256": "0" * 64}


def translated(
    prefix: Path, target: Target = LINUX, leave_out: Sequence[str] = (), channels: Sequence[str] = ()
) -> Translation:
    """Solves a prefix again."""
    environment = snapshot(prefix)
    lockfile = lock(environment)
    items = installed(lockfile, environment)
    return translate(lockfile, items, channels or environment.channels, target, leave_out)


def levels(found: Translation) -> dict[str, str]:
    """Returns the level of each package."""
    return {row.name: str(row.level) for row in found.substitution.rows}


def there(found: Translation) -> dict[str, str]:
    """Returns the version and the build of each package on the other platform."""
    return {package.name: f"{package.version}-{package.build}" for package in found.lockfile.conda}


@pytest.fixture
def mac(tmp_path: Path, forge: Channel) -> Path:
    """The macOS sample. Its packages seem to come from the test channel."""
    return platforms.prefix_of(tmp_path / "mac", platforms.records("osx-arm64"), forge.url, ["numpy", "scipy"])


def test_the_packages_of_a_mac_have_the_same_builds_on_linux(mac: Path) -> None:
    """The newer versions in the channel are not taken. What only macOS needs is left out, with the reason."""
    found = translated(mac)
    assert there(found)["numpy"] == "1.26.4-py311h64a7726_0"
    assert there(found)["openssl"] == "3.3.0-h4ab18f5_3"
    assert found.substitution.counts == {
        "same-build": 16,
        "same-version": 2,
        "same-minor": 0,
        "as-requested": 2,
        "left-out": 11,
        "missing": 0,
        "added": 7,
    }
    rows = {row.name: row for row in found.substitution.rows}
    assert (rows["libcxx"].level, rows["libcxx"].why) == ("left-out", "the C++ library of macOS")
    assert (rows["scipy"].here, rows["scipy"].there) == ("1.11.4-py311h2b215a9_0", "1.11.4-py311h64a7726_1")
    assert rows["libclang"].why == "the channel has no 16.0.6 there"
    assert rows["libgcc-ng"].level == "added"
    assert found.lockfile.platform == "linux-64"
    assert {package.subdir for package in found.lockfile.conda} == {"linux-64", "noarch"}
    assert all(package.sha256 and package.size for package in found.lockfile.conda)


def test_the_implementation_of_blas_stays(mac: Path) -> None:
    """The channel has the same version and build number of libblas with MKL, too."""
    assert there(translated(mac))["libblas"] == "3.9.0-20_linux64_openblas"


def test_a_version_that_the_channel_lacks_becomes_the_nearest(mac: Path) -> None:
    """linux-aarch64 has scipy 1.11.3 only."""
    found = translated(mac, ARM, ["libclang"])
    rows = {row.name: row for row in found.substitution.rows}
    assert rows["scipy"].level == "same-minor"
    assert rows["scipy"].there.startswith("1.11.3-")
    assert rows["scipy"].why == "the channel has no 1.11.4 there"
    assert rows["libclang"].why == "left out as asked"


def test_a_wanted_package_without_any_build_is_named(mac: Path) -> None:
    """The message says how to go on without it."""
    with pytest.raises(NotCompatible, match="no package for linux-aarch64 of libclang") as caught:
        translated(mac, ARM)
    assert "--leave-out libclang" in caught.value.hint


def test_a_package_to_leave_out_must_be_in_the_environment(mac: Path) -> None:
    """A typing error is not accepted in silence."""
    with pytest.raises(UsageError, match="'nunpy'"):
        translated(mac, leave_out=["nunpy"])


def test_windows_runtimes_are_left_out(tmp_path: Path) -> None:
    """The records of micromamba request single archives: nobody chose these versions by hand."""
    names = ("libsqlite", "tk", "xz", "python", "setuptools", "certifi", "idna", "cryptography", "brotlipy")
    packages = [plain(name, "9.0", "h0_0") for name in names]
    packages += [plain(name, "9.0", "h0_0", noarch="generic") for name in ("pyopenssl", "charset-normalizer")]
    for name, version, build in (("pip", "23.0", "pyhd8ed1ab_0"), ("wheel", "0.38.4", "pyhd8ed1ab_0")):
        packages.append(plain(name, version, build, noarch="python"))
    packages.append(plain("pysocks", "1.7.1", "pyh0701188_6", "__win", "win_inet_pton", noarch="python"))
    packages.append(plain("pysocks", "1.7.1", "pyha2e5f31_6", "__unix", noarch="python"))
    packages.append(plain("requests", "2.28.2", "pyhd8ed1ab_0", "urllib3", noarch="python"))
    packages.append(plain("urllib3", "1.26.14", "pyhd8ed1ab_0", "pysocks", noarch="python"))
    channel = platforms.made(tmp_path / "channel", packages)
    found = translated(platforms.prefix_of(tmp_path / "win", platforms.records("win-64"), channel.url))
    assert {name: level for name, level in levels(found).items() if level != "same-build"} == {
        **dict.fromkeys(("vc", "menuinst"), "left-out"),
        **dict.fromkeys(("libsqlite", "tk", "xz"), "as-requested"),
    }
    assert there(found)["pysocks"] == "1.7.1-pyha2e5f31_6"


def test_a_package_in_conflict_steps_down_and_the_others_stay(tmp_path: Path) -> None:
    """All versions are there, but on Linux `left` needs a newer `right`. The other packages stay at their builds."""
    others = [f"p{number}" for number in range(12)]
    packages = [plain("left", "1.0", "h0_0", "right >=2", *others), plain("right", "1.0", "h0_0")]
    packages += [plain("right", "2.5", "h0_0")]
    packages += [plain(name, version, "h0_0") for name in others for version in ("1.0", "2.0")]
    channel = platforms.made(tmp_path / "channel", packages)
    records = [record("left", "1.0", "h0_0", "right", *others), record("right", "1.0")]
    records += [record(name, "1.0") for name in others]
    found = translated(platforms.prefix_of(tmp_path / "mac", records, channel.url, ["left=1.0"]))
    rows = {row.name: row for row in found.substitution.rows}
    assert rows.pop("right").why == "1.0 does not fit the other packages there"
    assert {row.level for row in rows.values()} == {"same-build"}


def test_a_package_that_stepped_down_steps_up_again(tmp_path: Path) -> None:
    """The solver names both packages of a conflict, and the build that is most like that of the Mac cannot be used."""
    packages = [plain("left", "1.0", "a_0", "right >=2", "gone"), plain("left", "1.0", "b_0", "right >=2")]
    packages += [plain("left", "2.0", "c_0", "right >=2"), plain("right", "1.0", "h0_0"), plain("right", "2.5", "h0_0")]
    channel = platforms.made(tmp_path / "channel", packages)
    records = [record("left", "1.0", "a_0", "right"), record("right", "1.0")]
    found = translated(platforms.prefix_of(tmp_path / "mac", records, channel.url))
    assert there(found) == {"left": "1.0-b_0", "right": "2.5-h0_0"}


def test_a_dependency_keeps_its_version(tmp_path: Path) -> None:
    """The build that is most like that of the Mac cannot be used, and there is a newer version."""
    packages = [plain("tool", "1.0", "h0_0", "lib"), plain("lib", "1.0", "a_0", "gone"), plain("lib", "1.0", "b_0")]
    channel = platforms.made(tmp_path / "channel", [*packages, plain("lib", "2.0", "c_0")])
    records = [record("tool", "1.0", "h0_0", "lib"), record("lib", "1.0", "a_0")]
    found = translated(platforms.prefix_of(tmp_path / "mac", records, channel.url))
    assert there(found) == {"tool": "1.0-h0_0", "lib": "1.0-b_0"}


def test_requests_without_a_solution_are_refused_with_names_and_candidates(tmp_path: Path) -> None:
    """The user requested both packages in these versions."""
    channel = platforms.made(
        tmp_path / "channel", [plain("left", "1.0", "h0_0", "right >=2"), plain("right", "1.0", "h0_0")]
    )
    records = [record("left", "1.0"), record("right", "1.0")]
    prefix = platforms.prefix_of(tmp_path / "mac", records, channel.url, ["left==1.0", "right==1.0"])
    with pytest.raises(NotCompatible, match=r"no solution for linux-64: left==1\.0 does not fit right==1\.0") as caught:
        translated(prefix)
    assert caught.value.message.endswith("The channels have left 1.0. The channels have right 1.0.")
    assert "another version of left or right" in caught.value.hint
    assert "--leave-out left" in caught.value.hint


def test_what_was_requested_bounds_the_versions(tmp_path: Path) -> None:
    """The build of the request is for macOS, so that it does not count; the version does."""
    versions = [plain("tool", version, "linux_0") for version in ("2.1", "2.9", "3.0")]
    channel = platforms.made(tmp_path / "channel", versions)
    records = [record("tool", "2.0", "osx_0")]
    prefix = platforms.prefix_of(tmp_path / "mac", records, channel.url, ["tool[version='>=2,<3', build=osx*]"])
    # prefix_of compares the name before "=", so the request is written here
    file = next((prefix / "conda-meta").glob("tool*"))
    file.write_text(
        file.read_text().replace('"subdir"', '"requested_specs": ["tool[version=\'>=2,<3\', build=osx*]"], "subdir"')
    )
    assert there(translated(prefix)) == {"tool": "2.9-linux_0"}


def test_a_package_stays_in_its_channel(tmp_path: Path) -> None:
    """Both channels have it, and the first one is more important. What is new comes from the first."""
    first = platforms.made(
        tmp_path / "first", [plain("a", "1.0", "h0_0", "new"), plain("b", "1.0", "h0_0"), plain("new", "1.0", "h0_0")]
    )
    second = platforms.made(tmp_path / "second", [plain("b", "1.1", "lab_0"), plain("new", "2.0", "h0_0")])
    prefix = platforms.prefix_of(tmp_path / "mac", [record("a", "1.0")], first.url)
    lab = platforms.prefix_of(tmp_path / "lab", [record("b", "1.0")], second.url)
    (file,) = (lab / "conda-meta").iterdir()
    file.rename(prefix / "conda-meta" / file.name)
    found = translated(prefix, channels=[first.url, second.url])
    assert there(found) == {"a": "1.0-h0_0", "b": "1.1-lab_0", "new": "1.0-h0_0"}


def test_the_system_is_that_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither this machine nor its variables count, only the glibc of the base and the CUDA of the environment."""
    monkeypatch.setenv("CONDA_OVERRIDE_GLIBC", "2.99")
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "99")
    packages = [plain("tool", "1.0", "h0_0"), plain("tool", "1.1", "h0_0", "__glibc >=2.34")]
    packages += [plain("gpu", "1.0", "cpu_0"), plain("gpu", "1.1", "cuda_0", "__cuda >=12.4")]
    packages += [plain("mac", "1.0", "h0_0"), plain("mac", "1.1", "h0_0", "__osx")]
    channel = platforms.made(tmp_path / "channel", packages)
    records = [record(name, "0.9") for name in ("tool", "gpu", "mac")]
    prefix = platforms.prefix_of(tmp_path / "mac", records, channel.url)
    old = translated(prefix, Target("linux-64", glibc="2.28"))
    new = translated(prefix, Target("linux-64", glibc="2.36", cuda="12.4"))
    assert there(old) == {"tool": "1.0-h0_0", "gpu": "1.0-cpu_0", "mac": "1.0-h0_0"}
    assert there(new) == {"tool": "1.1-h0_0", "gpu": "1.1-cuda_0", "mac": "1.0-h0_0"}


def test_cuda_is_read_from_the_packages() -> None:
    """A Windows environment may have it."""
    assert cuda_of([("cuda-version", "12.4"), ("numpy", "1.0")]) == "12.4"
    assert cuda_of([("cudatoolkit", "11.8.0")]) == "11.8"
    assert cuda_of([("numpy", "1.0")]) == ""


def test_a_lock_file_alone_gives_the_same_packages(mac: Path, forge: Channel) -> None:
    """It has no build numbers: they are read from the builds."""
    environment = snapshot(mac)
    lockfile = lock(environment)
    read = load(dump(lockfile), "osx-arm64")
    assert isinstance(read, Lockfile)
    found = translate(read, installed(read), [forge.url], LINUX)
    assert found.lockfile == translated(mac).lockfile
    assert found.substitution == translated(mac).substitution


def test_the_result_does_not_depend_on_the_order_of_the_packages(mac: Path, forge: Channel) -> None:
    """Two users with the same environment get the same lock file."""
    environment = snapshot(mac)
    lockfile = lock(environment)
    mixed = replace(lockfile, conda=lockfile.conda[::-1])
    found = translate(mixed, installed(mixed, environment), [forge.url], LINUX)
    assert found.lockfile.digest == translated(mac).lockfile.digest


def test_the_table_has_the_counts_first(mac: Path) -> None:
    """Then come the packages that need a look; the others are only named."""
    lines = translated(mac).substitution.text().splitlines()
    assert lines[0] == (
        "osx-arm64 to linux-64: of 31 packages, 16 the same build, 2 the same version in another build, 2 another "
        "version (needs your look), 11 left out, 7 added."
    )
    assert [line.split()[0] for line in lines[3:7]] == ["package", "libclang", "libclang13", "libcxx"]
    assert "  The same version, another build: libgfortran5, scipy." in lines
