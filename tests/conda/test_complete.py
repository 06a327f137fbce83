"""Missing values of a lock file are found: sizes by a request, hashes by a download, only if there is no other way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import PackageCaches
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import PackageMismatch, PackageNotFound
from tests.parts.channel_host import Host

DATA = b"an archive" * 1000
PATH = "/linux-64/small-1.0-0.conda"
NONE = PackageSources()


@pytest.fixture
def host() -> Iterator[Host]:
    """A channel with one package."""
    with Host({PATH: DATA}).serving() as serving:
        yield serving


def small(url: str, **fields: object) -> Lockfile:
    package = CondaPackage.of_url(f"{url}{PATH}", **{"sha256": hashlib.sha256(DATA).hexdigest(), **fields})
    return of_packages("linux-64", [package], [])


def test_a_complete_lock_file_needs_no_request(tmp_path: Path, host: Host) -> None:
    """No channel and no package cache is read if the lock file has all values."""
    whole = small(host.url, size=5)
    assert complete(whole, NONE, tmp_path) == (whole, {})
    assert host.seen == []


def test_a_size_is_requested_without_a_download(tmp_path: Path, host: Host) -> None:
    """The headers of the answer have the size."""
    found, failures = complete(small(host.url), NONE, tmp_path)
    assert (found.conda[0].size, failures) == (len(DATA), {})
    assert host.seen == [f"HEAD {PATH}"]


def test_a_size_is_found_if_a_login_is_needed(tmp_path: Path) -> None:
    """The login comes from the environment's record. No other host gets it."""
    with Host({}).serving() as elsewhere, Host({PATH: DATA}, login="user:p@ss word").serving() as host:
        url = f"http://user:p%40ss%20word@{host.url.removeprefix('http://')}{PATH}"
        found, _ = complete(small(host.url), PackageSources(urls={"small-1.0-0": url}), tmp_path)
        assert (found.conda[0].size, host.seen) == (len(DATA), [f"HEAD {PATH}"])
        host.moved[PATH] = f"{elsewhere.url}/other"
        _, failures = complete(small(host.url), PackageSources(urls={"small-1.0-0": url}), tmp_path)
        assert isinstance(failures["small-1.0-0"], PackageNotFound)
        assert elsewhere.seen
        assert elsewhere.logins == {""}


def test_a_missing_sha256_is_computed_from_the_archive(tmp_path: Path, host: Host) -> None:
    """The archive must match the md5 in the lock file."""
    md5 = hashlib.md5(DATA).hexdigest()
    found, failures = complete(small(host.url, sha256="", md5=md5), NONE, tmp_path)
    assert (found.conda[0].sha256, found.conda[0].size) == (hashlib.sha256(DATA).hexdigest(), len(DATA))
    assert not failures
    found, failures = complete(small(host.url, sha256="", md5="0" * 32), NONE, tmp_path / "2")
    assert isinstance(failures["small-1.0-0"], PackageMismatch)
    assert found.conda[0].sha256 == ""


def test_missing_values_are_reported(tmp_path: Path, host: Host) -> None:
    """Each is reported by dist with the reason. The other packages are complete."""
    gone = CondaPackage.of_url(f"{host.url}/linux-64/gone-1.0-0.conda", md5="0" * 32)
    both = of_packages("linux-64", [gone, *small(host.url).conda], [])
    found, failures = complete(both, NONE, tmp_path)
    assert {dist: type(error) for dist, error in failures.items()} == {"gone-1.0-0": PackageNotFound}
    assert [package.size for package in found.conda] == [None, len(DATA)]


@pytest.mark.parametrize(
    "url", ["http://user:pw@127.0.0.1:x", "http://127.0.0.1:9", "ftp://127.0.0.1:9", "http://[", "s3://b"]
)
def test_an_invalid_url_is_no_crash(tmp_path: Path, url: str) -> None:
    """The package of this URL is not available; the others are complete."""
    lockfile = small("https://lab.org")
    _, failures = complete(lockfile, PackageSources(urls={"small-1.0-0": f"{url}{PATH}"}), tmp_path)
    assert list(failures) == ["small-1.0-0"]


def test_the_package_cache_is_read_first(tmp_path: Path, conda_prefix: Path) -> None:
    """The cache has values that an explicit file does not have, such as the dependencies of noarch packages."""
    whole = lock(snapshot(conda_prefix))
    text = dump(whole, "explicit")
    unreachable = load(text.replace("127.0.0.1", "127.0.0.2"))
    caches = PackageCaches([conda_prefix.parent.parent / "pkgs"])
    found, failures = complete(unreachable, PackageSources(caches), tmp_path)
    assert failures == {}
    assert [(package.dist, package.size, package.is_noarch_python) for package in found.conda] == [
        (package.dist, package.size, package.is_noarch_python) for package in whole.conda
    ]


def test_a_local_channel_gives_the_size(tmp_path: Path) -> None:
    """The size is read from the archive in the channel."""
    (tmp_path / "linux-64").mkdir()
    (tmp_path / PATH[1:]).write_bytes(DATA)
    found, failures = complete(small(tmp_path.as_uri()), NONE, tmp_path)
    assert (found.conda[0].size, failures) == (len(DATA), {})


def test_a_lock_file_without_hashes_is_not_completed(tmp_path: Path) -> None:
    """Without any hash, nothing proves which package is meant."""
    bare = of_packages("linux-64", [replace(small("https://lab.org").conda[0], sha256="", md5="")], [])
    found, failures = complete(bare, NONE, tmp_path)
    assert found == bare
    assert list(failures) == ["small-1.0-0"]


def test_the_hash_of_a_lock_file_without_hashes_is_that_of_the_channel(tmp_path: Path, host: Host) -> None:
    """The archive is downloaded, and its hash and size are recorded."""
    bare = small(host.url, sha256="")
    found, failures = complete(bare, NONE, tmp_path, unverified=True)
    assert (found.conda[0].sha256, found.conda[0].size) == (hashlib.sha256(DATA).hexdigest(), len(DATA))
    assert failures == {}


@pytest.mark.parametrize("listed", [True, False])
def test_the_packages_of_an_explicit_file_get_their_md5(tmp_path: Path, host: Host, listed: bool) -> None:
    """The channel's repodata has it, so that no archive is downloaded. A record with another sha256 does not count."""
    sha256, md5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()
    record = {"name": "small", "version": "1.0", "build": "0", "build_number": 0, "subdir": "linux-64", "depends": []}
    record |= {"sha256": sha256 if listed else "0" * 64, "md5": md5 if listed else "0" * 32, "size": len(DATA)}
    repodata = {"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": {"small-1.0-0.conda": record}}
    host.files["/linux-64/repodata.json"] = json.dumps(repodata).encode()
    found, failures = complete(small(host.url), NONE, tmp_path, unverified=True)
    assert (found.conda[0].md5, found.conda[0].size, failures) == (md5, len(DATA), {})
    assert (f"GET {PATH}" in host.seen) is not listed


def test_the_packages_of_other_lock_files_need_no_md5(tmp_path: Path, host: Host) -> None:
    """The lock file of an environment has the md5, if the environment has it. So both have the same keys."""
    package = replace(small(host.url).conda[0], depends=("python",))
    found, _ = complete(of_packages("linux-64", [package], []), NONE, tmp_path, unverified=True)
    assert found.conda[0].md5 == ""


@pytest.mark.parametrize(("url", "found"), [(PATH, True), ("/linux-64/other-1.0-0.conda", False)])
def test_a_package_cache_knows_the_hash_of_a_url(tmp_path: Path, host: Host, url: str, found: bool) -> None:
    """conda writes it into the cache. Another URL is another package. A login in the URL does not matter."""
    sha256 = "ab" * 32
    info = tmp_path / "pkgs/small-1.0-0/info"
    info.mkdir(parents=True)
    record = {"url": f"{host.url.replace('//', '//me:word@')}{url}", "sha256": sha256, "md5": "cd" * 16, "size": 7}
    (info / "repodata_record.json").write_text(json.dumps(record))
    (info / "index.json").write_text("{}")
    sources = PackageSources(PackageCaches([tmp_path / "pkgs"]))
    package = complete(small(host.url, sha256=""), sources, tmp_path, unverified=True)[0].conda[0]
    assert (package.sha256 == sha256, package.size == 7, host.seen == []) == (found, found, found)


def test_a_cache_without_the_size_gives_no_size(tmp_path: Path, rattler_prefix: Path, package_cache: Path) -> None:
    """py-rattler's cache has neither archive nor size, so the archive is downloaded.

    If the channel does not answer either, the message names the size.
    """
    lockfile = load(dump(lock(snapshot(rattler_prefix)), "explicit").replace("127.0.0.1", "127.0.0.2"))
    _, failures = complete(lockfile, PackageSources(PackageCaches([package_cache])), tmp_path)
    assert "greet-1.0-h0_0 is in no package cache and cannot be downloaded" in failures["greet-1.0-h0_0"].message
