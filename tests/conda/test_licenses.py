"""Licences in the metadata of packages: in records, in package caches, in archives, and in pip's metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.conda import licenses as module
from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.conda.licenses import licenses, pip_license
from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.builds import Package, explicit, install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata

TEXTS = {"LICENSE.txt": b"Ask https://me:secret@lab.org first.\n", "third/NOTICE": b"\xff\n"}
PACKAGES: list[Package] = [
    (Metadata("free", "1.0", noarch="generic", license="MIT"), [File("share/free", b"1")]),
    (Metadata("own", "1.0", noarch="generic", license="Ours", licenses=TEXTS), [File("share/own", b"1")]),
    (Metadata("silent", "1.0", noarch="generic"), [File("share/silent", b"1")]),
]
EXPECTED = {
    "free-1.0-0": License("MIT"),
    "own-1.0-0": License("Ours", "LICENSE.txt\n\nAsk https://lab.org first.\n\n\nthird/NOTICE\n\n\ufffd\n"),
    "silent-1.0-0": License(),
}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    return small_channel(tmp_path_factory.mktemp("licences") / "channel", PACKAGES)


@pytest.fixture(scope="module")
def prefix(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed") / "env", channel, "free", "own", "silent")


def needs_texts(name: str) -> bool:
    return name != "MIT"


def test_licences_are_the_same_from_a_cache_and_from_archives(channel: Channel, prefix: Path, tmp_path: Path) -> None:
    """The sources are an environment, only a package cache, or only the channel."""
    packages = load(explicit(channel, tmp_path / "lock.txt")).conda
    caches = PackageCaches([prefix.parent / "pkgs"])
    assert licenses(packages, PackageSources(caches), snapshot(prefix), needs_texts) == EXPECTED
    assert licenses(packages, PackageSources(caches), None, needs_texts) == EXPECTED
    assert licenses(packages, PackageSources(), None, needs_texts) == EXPECTED


def test_a_package_that_cannot_be_read_has_only_its_record(channel: Channel, prefix: Path, tmp_path: Path) -> None:
    """Without a record, the package has no licence."""
    packages = load(explicit(channel, tmp_path / "lock.txt")).conda
    gone = PackageSources(urls={package.dist: f"file://{tmp_path}/nothing/{package.fn}" for package in packages})
    found = licenses(packages, gone, snapshot(prefix), needs_texts)
    assert found == {"free-1.0-0": License("MIT"), "own-1.0-0": License("Ours"), "silent-1.0-0": License()}
    assert set(licenses(packages, gone, None, needs_texts).values()) == {License()}


def test_texts_are_limited_and_links_are_not_followed(
    channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A licence file cannot read files of the user, or fill the memory."""
    monkeypatch.setattr(module, "LONGEST_TEXT", 5)
    monkeypatch.setattr(module, "MOST_TEXTS", 1)
    prefix = install(tmp_path / "env", channel, "own")
    [package] = [item for item in load(explicit(channel, tmp_path / "lock.txt")).conda if item.name == "own"]
    (tmp_path / "pkgs/own-1.0-0/info/licenses/AAA").symlink_to(prefix / "conda-meta/history")
    sources = PackageSources(PackageCaches([tmp_path / "pkgs"]))
    assert licenses([package], sources, None, needs_texts)["own-1.0-0"].text == "LICENSE.txt\n\nAsk h"


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other\n", "MIT OR Apache-2.0"),
        ("License: BSD\n\nLicense: of the description\n", "BSD"),
        ("Classifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: X\n", "MIT License"),
        ("License: Line one\n  and line two\nClassifier: License :: OSI Approved :: ISC License\n", "ISC License"),
        ("License: UNKNOWN\n", ""),
        ("License: https://me:secret@lab.org/licence\n", "https://lab.org/licence"),
        ("Name: x\n", ""),
    ],
)
def test_a_pip_package_names_its_licence(tmp_path: Path, metadata: str, name: str) -> None:
    """The licence is an expression, a line, or a classifier."""
    info = tmp_path / "x-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\n{metadata}")
    assert pip_license(tmp_path, "x-1.dist-info") == License(name)


def test_a_pip_package_without_metadata_has_no_licence(tmp_path: Path) -> None:
    """An ``.egg-link`` is a file."""
    assert pip_license(tmp_path, "x.egg-link") == License()
