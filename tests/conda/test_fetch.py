"""Packages are downloaded only if necessary. Each download is checked, and no message contains a secret."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda import fetch
from jupyter_condabuild.conda.fetch import _within, locate
from jupyter_condabuild.conda.package_cache import Cached, PackageCaches
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import PackageError, PackageMismatch, PackageNotFound
from tests.parts.channel_host import Host

DATA = b"an archive" * 1000
NONE = PackageSources()


def package(base: str, name: str = "small", data: bytes = DATA) -> CondaPackage:
    digests = {kind: hashlib.new(kind, data).hexdigest() for kind in ("sha256", "md5")}
    return CondaPackage.of_url(f"{base}/noarch/{name}-1.0-0.conda", **digests)


def one(wanted: CondaPackage, folder: Path, urls: Mapping[str, str] | None = None) -> Path | PackageError:
    found, failures = locate([wanted], PackageSources(urls=urls or {}), folder)
    return failures[wanted.dist] if failures else found[wanted.dist].path


def test_available_packages_are_not_downloaded(tmp_path: Path) -> None:
    """Only the package that no cache has is requested. `done` is called for it."""
    host = Host({f"/noarch/{name}-1.0-0.conda": DATA for name in ("cached", "missing")})
    with host.serving():
        cached, missing = package(host.url, "cached"), package(host.url, "missing")
        (tmp_path / "pkgs").mkdir()
        (tmp_path / "pkgs" / cached.fn).write_bytes(DATA)
        told: list[CondaPackage] = []
        found, failures = locate(
            [cached, missing], PackageSources(PackageCaches([tmp_path / "pkgs"])), tmp_path / "down", done=told.append
        )
    assert (failures, told, host.seen) == ({}, [missing], ["GET /noarch/missing-1.0-0.conda"])
    assert found[cached.dist] == Cached(tmp_path / "pkgs" / cached.fn, False)
    assert found[missing.dist].path.read_bytes() == DATA


def test_a_distrusted_folder_is_not_used(tmp_path: Path, conda_prefix: Path) -> None:
    """The archive next to it is used."""
    from jupyter_condabuild.conda.locking import lock
    from jupyter_condabuild.conda.prefix.snapshot import snapshot

    pkgs = conda_prefix.parent.parent / "pkgs"
    greet = next(package for package in lock(snapshot(conda_prefix)).conda if package.name == "greet")
    for distrusted, extracted in (((), True), ((greet.dist,), False)):
        found, _ = locate([greet], PackageSources(PackageCaches([pkgs])).distrusting(distrusted), tmp_path)
        assert found[greet.dist].extracted is extracted


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_bytes_that_differ_from_the_hash_are_a_mismatch(tmp_path: Path, kind: str) -> None:
    """The sha256 is checked, or the md5 if there is no sha256."""
    with Host({"/noarch/small-1.0-0.conda": DATA[:-1] + b"X"}).serving() as host:
        wanted = package(host.url)
        wanted = wanted if kind == "sha256" else replace(wanted, sha256="")
        error = one(wanted, tmp_path)
    assert isinstance(error, PackageMismatch)
    assert f"has {kind}" in error.message
    assert error.hint


def test_a_package_that_the_channel_lacks_is_not_found(tmp_path: Path) -> None:
    """A package that the channel lacks, and a package on a host that does not answer, are not found."""
    with Host({}).serving() as host:
        wanted = package(host.url)
        gone = one(wanted, tmp_path)
    silent = one(wanted, tmp_path)
    for error in (gone, silent):
        assert isinstance(error, PackageNotFound)
        assert "small-1.0-0" in error.message
        assert error.hint


def test_a_failure_does_not_stop_other_packages(tmp_path: Path) -> None:
    """The available packages are returned. Each error belongs to one package."""
    with Host({"/noarch/good-1.0-0.conda": DATA, "/noarch/bad-1.0-0.conda": b"bad"}).serving() as host:
        wanted = [package(host.url, name) for name in ("good", "bad", "gone")]
        found, failures = locate(wanted, NONE, tmp_path)
    assert list(found) == ["good-1.0-0"]
    assert {dist: type(error) for dist, error in failures.items()} == {
        "bad-1.0-0": PackageMismatch,
        "gone-1.0-0": PackageNotFound,
    }


def test_a_host_that_does_not_answer_is_not_asked_for_every_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock file may name thousands of its packages. Another host is asked."""
    asked: list[str] = []

    async def no_connection(_: object, wanted: CondaPackage, *__: object) -> PackageError:
        asked.append(wanted.name)
        return PackageNotFound("Request failed after 2 retries")

    monkeypatch.setattr(fetch, "_download", no_connection)
    names = [f"p{number}" for number in range(100)]
    wanted = [package("https://u:secret@silent.lab.org/c", name) for name in names]
    wanted.append(package("https://lab.org/c", "other"))
    _, failures = locate(wanted, NONE, tmp_path)
    assert len(failures) == 101
    assert len(asked) <= fetch.LostHosts.MOST + fetch.CONCURRENT + 1
    assert "other" in asked
    assert "silent.lab.org did not answer for" in failures["p99-1.0-0"].message
    assert "secret" not in failures["p99-1.0-0"].message


def test_a_local_channel_is_read_without_a_copy(tmp_path: Path) -> None:
    """The URL is decoded, and nothing is copied. The hash is checked here, too."""
    folder = tmp_path / "a channel/noarch"
    folder.mkdir(parents=True)
    wanted = package((tmp_path / "a channel").as_uri())
    assert isinstance(one(wanted, tmp_path / "down"), PackageNotFound)
    (folder / wanted.fn).write_bytes(DATA)
    assert one(wanted, tmp_path / "down") == folder / wanted.fn
    (folder / wanted.fn).write_bytes(b"other")
    assert isinstance(one(wanted, tmp_path / "down"), PackageMismatch)


@pytest.mark.parametrize("secret", ["user:pass-word", "/t/tk-12345"])
@pytest.mark.parametrize("works", [True, False])
def test_credentials_are_sent_to_the_channel_and_are_in_no_message(tmp_path: Path, secret: str, works: bool) -> None:
    """The credentials come from the environment's record. The lock file has none."""
    token = secret if secret.startswith("/t/") else ""
    files = {f"{token}/noarch/small-1.0-0.conda": DATA if works else b"other"}
    with Host(files, login="" if token else secret).serving() as host:
        wanted = package(host.url)
        address = host.url.removeprefix("http://")
        base = f"http://{address}{token}" if token else f"http://{secret}@{address}"
        result = one(wanted, tmp_path, urls={wanted.dist: f"{base}/noarch/{wanted.fn}"})
        failed = one(wanted, tmp_path / "2", urls={wanted.dist: f"{base}/noarch/absent.conda"})
    if works:
        assert isinstance(result, Path), result
    else:
        assert isinstance(result, PackageMismatch)
        assert not any(part in str(result) for part in ("pass-word", "tk-12345"))
    assert isinstance(failed, PackageNotFound)
    assert not any(part in failed.message for part in ("pass-word", "tk-12345"))


@pytest.mark.parametrize("name", ["..%2f..%2fescaped", "%2e%2e%2f%2e%2e%2fescaped", "a%00b", "%0a", "..", ".hidden"])
def test_a_file_name_cannot_leave_the_folder(name: str) -> None:
    """A lock file with such a name is refused when it is read."""
    with pytest.raises(ValueError, match="cannot be part of a package's name"):
        package("https://lab.org", name)
    good = package("https://lab.org")
    with pytest.raises(ValueError, match="cannot be part of a package's name"):
        replace(good, name=name)


def test_very_many_packages_are_fetched(tmp_path: Path) -> None:
    """More packages are fetched than can be downloaded at the same time."""
    names = [f"p{number}" for number in range(30)]
    with Host({f"/noarch/{name}-1.0-0.conda": name.encode() for name in names}).serving() as host:
        wanted = [package(host.url, name, name.encode()) for name in names]
        found, failures = locate(wanted, NONE, tmp_path)
    assert (len(found), failures) == (30, {})
    assert all(found[item.dist].path.read_bytes() == item.name.encode() for item in wanted)


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_mismatch_shows_where_the_hashes_differ(tmp_path: Path, kind: str) -> None:
    """Both hashes are whole: they may differ in their last digit."""
    host = Host({"/noarch/small-1.0-0.conda": DATA})
    digest = hashlib.new(kind, DATA).hexdigest()
    wrong = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    with host.serving():
        wanted = replace(package(host.url), **{"sha256": "", "md5": "", kind: wrong})
        error = one(wanted, tmp_path)
    assert isinstance(error, PackageMismatch)
    assert f"has {kind} {digest}, not {wrong}." in error.message


def test_an_archive_without_a_hash_is_not_used(tmp_path: Path) -> None:
    """Nothing can verify the archive, and the error says so."""
    with Host({"/noarch/small-1.0-0.conda": DATA}).serving() as host:
        error = one(replace(package(host.url), sha256="", md5=""), tmp_path)
    assert isinstance(error, PackageNotFound)
    assert "No hash of small-1.0-0.conda is known" in error.message


@pytest.mark.parametrize("scheme", ["ftp", "s3", "gopher", "data", "javascript"])
def test_a_lock_file_contains_only_urls_of_channel_schemes(tmp_path: Path, scheme: str) -> None:
    """A lock file of another person cannot choose the protocol. The record of an environment can."""
    wanted = package(f"{scheme}://lab.org")
    error = one(wanted, tmp_path)
    assert isinstance(error, PackageNotFound)
    assert "is not downloaded from" in error.message
    assert PackageSources(urls={wanted.dist: wanted.url}).may_fetch(wanted)


def test_a_download_has_the_size_in_the_record(tmp_path: Path) -> None:
    """A larger file is refused. An endless download is refused when it is larger."""
    with Host({"/noarch/small-1.0-0.conda": DATA}).serving() as host:
        error = one(replace(package(host.url), size=len(DATA) - 1), tmp_path)
    assert isinstance(error, PackageMismatch)
    assert "instead of" in error.message
    target = tmp_path / "endless"

    async def endless(*_: object) -> None:
        with target.open("ab") as file:
            while True:
                file.write(DATA)
                file.flush()
                await asyncio.sleep(0)

    with pytest.raises(PackageMismatch, match="has more than 5 bytes"):
        asyncio.run(_within(replace(package("https://lab.org"), size=5), target, endless()))
