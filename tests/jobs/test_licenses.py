"""licenses: the licences of any form of an environment, channels with commercial terms, and missing licences."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.packages import CondaPackage, License, PipPackage
from jupyter_condabuild.conda.terms import COMMERCIAL, terms_of
from jupyter_condabuild.errors import NotACondaKernel, UsageError
from jupyter_condabuild.jobs import licenses
from jupyter_condabuild.jobs.licenses import LicenseList, license_list
from jupyter_condabuild.requests.others import LicensesRequest
from tests.parts.builds import Package, Workshop, explicit, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.jobs import request, silent

PACKAGES: list[Package] = [
    (Metadata("a", "1.0", noarch="generic", license="mit"), [File("share/a", b"a")]),
    (Metadata("b", "1.0", noarch="generic", license="Ask us"), [File("share/b", b"b")]),
    (Metadata("c", "1.0", noarch="generic"), [File("share/c", b"c")]),
]
TEXT = ["   1  Ask us: b", "   1  MIT: a", "3 packages, 2 licences.", "1 package without a licence: c."]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    return small_channel(tmp_path_factory.mktemp("licenses") / "channel", PACKAGES)


@pytest.fixture(scope="module")
def prefix(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed") / "env", channel, "a", "b", "c")


def found(source: str | Path, tmp_path: Path) -> LicenseList:
    source = licenses.without_kernel(str(source))
    return licenses.run(request(LicensesRequest, source=source, store_dir=tmp_path / "store"), silent)


def test_an_environment_its_kernel_lock_file_and_images_have_the_same_licences(
    workshop: Workshop, prefix: Path, channel: Channel, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The licences of an image in a registry come from its SBOM. Those of an archive come from its packages."""
    kernels = tmp_path / "jupyter/kernels/mine"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text('{"argv": ["x"], "metadata": {"conda_env_path": "%s"}}' % prefix)  # noqa: UP031
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    name = f"{registry}/licenses/{uuid.uuid4().hex}:v1"
    workshop.build(prefix, reference=name, push=True)
    workshop.image(prefix, "archive")
    lockfile = explicit(channel, tmp_path / "lock.txt")
    for source in (prefix, "kernel:mine", lockfile, name, tmp_path / "archive.tar"):
        assert found(source, tmp_path).text().splitlines() == TEXT


def test_the_sbom_of_an_image_is_enough(workshop: Workshop, registry: str, tmp_path: Path) -> None:
    """The channel can be missing."""
    channel = small_channel(tmp_path / "channel", PACKAGES)
    made = install(tmp_path / "env", channel, "a", "b", "c")
    name = f"{registry}/licenses/{uuid.uuid4().hex}:v1"
    workshop.build(made, reference=name, push=True)
    (tmp_path / "channel").rename(tmp_path / "gone")
    assert found(name, tmp_path).text().splitlines() == TEXT


def test_the_command_uses_the_active_environment(prefix: Path, tmp_path: Path) -> None:
    """The command can print JSON."""
    done = CommandLine(tmp_path)("licenses", "--json", environ={"CONDA_PREFIX": str(prefix)})
    assert done.status == 0, done.err
    assert done.json["licenses"] == {"Ask us": 1, "MIT": 1}
    assert done.json["unlicensed"] == ["c"]
    assert [package["is_spdx"] for package in done.json["packages"]] == [True, False, False]


def test_channels_with_commercial_terms_are_named() -> None:
    """The report names their packages and the URL of the terms."""
    packages = [
        CondaPackage.of_url("https://repo.anaconda.com/pkgs/main/linux-64/numpy-1-0.conda"),
        CondaPackage.of_url("https://conda.anaconda.org/conda-forge/linux-64/scipy-1-0.conda"),
    ]
    made = license_list(of_packages("linux-64", packages, [PipPackage("x", "1")]), {"x==1": License("MIT")})
    [channel] = made.commercial
    assert channel.packages == ("numpy",)
    assert "https://www.anaconda.com/legal/terms" in made.text()
    assert made.unlicensed == ("numpy", "scipy")


@pytest.mark.parametrize(
    ("channel", "commercial"),
    [
        ("https://repo.anaconda.com/pkgs/main", True),
        ("https://repo.anaconda.com/pkgs/r/", True),
        ("http://repo.continuum.io/pkgs/free", True),
        ("https://conda.anaconda.org/anaconda", True),
        ("https://conda.anaconda.org/anaconda-fork", False),
        ("https://conda.anaconda.org/conda-forge", False),
        ("https://evil.org/https://repo.anaconda.com/", False),
        ("", False),
    ],
)
def test_terms_belong_to_the_url_of_a_channel(channel: str, commercial: bool) -> None:
    """Full names of hosts and channels are compared."""
    assert (terms_of(channel) is not None) is commercial
    assert all(start.endswith("/") for terms in COMMERCIAL for start in terms.starts)


def test_a_missing_kernel_is_named(tmp_path: Path) -> None:
    """A missing environment is named, too."""
    with pytest.raises(NotACondaKernel, match="no kernel 'nothing'"):
        found("kernel:nothing", tmp_path)
    with pytest.raises(UsageError, match="names no environment"):
        request(LicensesRequest)
