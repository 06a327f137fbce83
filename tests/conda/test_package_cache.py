"""Package caches of conda and rattler: a package is found only if its hash is proved."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import Cached, PackageCaches, default_folders, hash_file
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot


def locked(prefix: Path, name: str) -> CondaPackage:
    return next(package for package in lock(snapshot(prefix)).conda if package.name == name)


@pytest.fixture(params=["rattler", "conda"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, CondaPackage]:
    """A copy of the part of a cache that belongs to one package, and this package."""
    prefix = request.getfixturevalue(f"{request.param}_prefix")
    source = prefix.parent.parent / "pkgs"
    if request.param == "rattler":
        source = request.getfixturevalue("package_cache")
    package = locked(prefix, "greet")
    for path in source.glob("greet-1.0-h0_0*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, tmp_path / path.name)
    return tmp_path, package


def other(package: CondaPackage) -> CondaPackage:
    """Returns a package with the same file name and other content, from another channel."""
    return replace(package, url=package.url.replace("linux-64", "x/linux-64"), sha256="e" * 64, md5="e" * 32)


def test_an_extracted_package_is_found(cache: tuple[Path, CondaPackage]) -> None:
    """The folder is found by conda's repodata_record.json or by rattler's lock file."""
    folder, package = cache
    assert PackageCaches([folder]).find(package) == Cached(folder / "greet-1.0-h0_0", True)
    assert PackageCaches([folder]).index(package)["name"] == "greet"


def test_the_same_name_from_another_channel_is_another_package(cache: tuple[Path, CondaPackage]) -> None:
    """The file name proves nothing."""
    folder, package = cache
    assert PackageCaches([folder]).find(other(package)) is None
    assert PackageCaches([folder]).index(other(package)) == {}


def test_a_folder_without_a_hash_is_not_used(cache: tuple[Path, CondaPackage]) -> None:
    """Its content is unknown."""
    folder, package = cache
    (folder / "greet-1.0-h0_0/info/repodata_record.json").unlink(missing_ok=True)
    (folder / "greet-1.0-h0_0.lock").unlink(missing_ok=True)
    (folder / "greet-1.0-h0_0.conda").unlink(missing_ok=True)
    assert PackageCaches([folder]).find(package) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"sha256": null}'])
def test_a_broken_record_is_ignored(tmp_path: Path, text: str) -> None:
    """A broken record is handled like a missing record."""
    package = CondaPackage.of_url("https://lab.org/linux-64/a-1-0.conda", sha256="a" * 64)
    (tmp_path / "a-1-0/info").mkdir(parents=True)
    (tmp_path / "a-1-0/info/index.json").write_text("{}")
    (tmp_path / "a-1-0/info/repodata_record.json").write_text(text)
    assert PackageCaches([tmp_path]).find(package) is None


def test_a_partly_extracted_folder_is_not_used(cache: tuple[Path, CondaPackage]) -> None:
    """Without its metadata, nothing can be linked from it."""
    folder, package = cache
    (folder / "greet-1.0-h0_0/info/index.json").unlink()
    found = PackageCaches([folder]).find(package)
    assert found is None or not found.extracted


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another group")
@pytest.mark.parametrize("place", ["above", ".", "greet-1.0-h0_0"])
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_folder_that_others_can_write_is_not_used(
    cache: tuple[Path, CondaPackage], tmp_path_factory: pytest.TempPathFactory, place: str, mode: int
) -> None:
    """Neither its files nor its record are used. An archive is used, because the lock file has its hash."""
    own, package = cache
    folder = tmp_path_factory.mktemp("above") / "pkgs"
    own.rename(folder)
    changed = folder.parent if place == "above" else folder / place
    os.chown(changed, -1, 4242)
    changed.chmod(mode)
    found = PackageCaches([folder]).find(package)
    assert found is None or not found.extracted
    changed.chmod(0o755)
    assert PackageCaches([folder]).find(package) == Cached(folder / "greet-1.0-h0_0", True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_another_user_is_not_used(cache: tuple[Path, CondaPackage]) -> None:
    """The owner can change the folder at any time."""
    folder, package = cache
    os.chown(folder / "greet-1.0-h0_0", 4242, 4242)
    found = PackageCaches([folder]).find(package)
    assert found is None or not found.extracted


def test_a_link_to_an_extracted_package_is_not_used(
    cache: tuple[Path, CondaPackage], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Another user can own the target."""
    folder, package = cache
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "greet"
    (folder / "greet-1.0-h0_0").rename(elsewhere)
    (folder / "greet-1.0-h0_0").symlink_to(elsewhere)
    found = PackageCaches([folder]).find(package)
    assert found is None or not found.extracted


def test_an_archive_is_found_by_its_content(conda_prefix: Path, tmp_path: Path) -> None:
    """The archive must have the right size and the right hash."""
    package = locked(conda_prefix, "greet")
    archive = tmp_path / package.fn
    shutil.copy(conda_prefix.parent.parent / "pkgs" / package.fn, archive)
    caches = PackageCaches([tmp_path])
    assert caches.find(package) == Cached(archive, False)
    assert caches.find(replace(package, sha256="")) == Cached(archive, False)  # by md5
    assert caches.find(replace(package, sha256="", md5="")) is None
    data = archive.read_bytes()
    archive.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert caches.find(package) is None


def test_an_archive_can_be_requested(conda_prefix: Path) -> None:
    """This is needed if the extracted folder is damaged."""
    package = locked(conda_prefix, "greet")
    pkgs = conda_prefix.parent.parent / "pkgs"
    assert PackageCaches([pkgs]).find(package, extracted=False) == Cached(pkgs / package.fn, False)


def test_the_first_cache_with_the_package_is_used(cache: tuple[Path, CondaPackage], tmp_path: Path) -> None:
    """Missing folders are handled like empty folders."""
    folder, package = cache
    second = Path(shutil.copytree(folder, tmp_path / "second"))
    caches = PackageCaches([tmp_path / "nowhere", second, folder])
    assert caches.find(package) == Cached(second / "greet-1.0-h0_0", True)


def test_the_completeness_of_a_folder_is_checked(cache: tuple[Path, CondaPackage]) -> None:
    """The folder's own list of paths is used. A broken link is not a missing file."""
    folder, _ = cache
    extracted = folder / "greet-1.0-h0_0"
    assert Cached(extracted, True).complete
    (extracted / "share/greet/message.txt").unlink()
    assert not Cached(extracted, True).complete
    (extracted / "info/paths.json").write_text("{")
    assert not Cached(extracted, True).complete


def test_the_usual_folders_are_searched(tmp_path: Path) -> None:
    """The existing folders in the settings and defaults of conda, mamba, pixi and rattler are searched."""
    home, prefix = tmp_path / "home", tmp_path / "miniconda3/envs/demo"
    named = [
        tmp_path / "miniconda3/pkgs",
        home / ".conda/pkgs",
        home / ".cache/rattler/cache/pkgs",
        home / "own/pkgs",
        tmp_path / "variable",
        tmp_path / "pixi/pkgs",
        tmp_path / "mamba/pkgs",
    ]
    for folder in [*named, prefix]:
        folder.mkdir(parents=True)
    (home / ".condarc").write_text(f"pkgs_dirs:\n  - $OWN/own/pkgs\n  - {tmp_path}/nowhere\n")
    environ = {
        "HOME": str(home),
        "CONDA_PKGS_DIRS": str(tmp_path / "variable"),
        "PIXI_CACHE_DIR": str(tmp_path / "pixi"),
        "MAMBA_ROOT_PREFIX": str(tmp_path / "mamba"),
    }
    os.environ["OWN"] = str(home)
    try:
        assert sorted(default_folders(prefix, environ)) == sorted(named)
    finally:
        del os.environ["OWN"]


@pytest.mark.parametrize(
    "text", ["", "- a", "pkgs_dirs: {", "pkgs_dirs: 3", "\x00", "pkgs_dirs: [null, 1]", "pkgs_dirs: x"]
)
def test_a_broken_condarc_is_ignored(tmp_path: Path, text: str) -> None:
    """The build continues, and the file is not changed."""
    (tmp_path / ".condarc").write_text(text)
    assert default_folders(None, {"HOME": str(tmp_path)}) == ()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_unreadable_cache_of_another_user_is_ignored(tmp_path: Path) -> None:
    """A folder without read permission does not stop the build."""
    closed = tmp_path / "closed"
    (closed / "pkgs/a-1-0").mkdir(parents=True)
    closed.chmod(0o700)
    package = CondaPackage.of_url("https://lab.org/linux-64/a-1-0.conda", sha256="a" * 64)
    os.seteuid(12345)
    try:
        assert default_folders(None, {"HOME": "/nonexistent", "CONDA_PKGS_DIRS": str(closed / "pkgs")}) == ()
        assert PackageCaches([closed / "pkgs"]).find(package) is None
    finally:
        os.seteuid(0)


def test_a_file_is_hashed(tmp_path: Path) -> None:
    """The hash is computed for files of any size."""
    (tmp_path / "empty").touch()
    assert hash_file(tmp_path / "empty").startswith("e3b0c442")
    assert hash_file(tmp_path / "empty", "md5").startswith("d41d8cd9")


@pytest.mark.parametrize("open_to_others", [".", "greet-1.0-h0_0"])
def test_a_cache_that_others_can_write_is_not_used(cache: tuple[Path, CondaPackage], open_to_others: str) -> None:
    """Other users can also change the record of the hash. The archive is used, because its bytes are checked."""
    folder, package = cache
    (folder / open_to_others).chmod(0o777)
    found = PackageCaches([folder]).find(package)
    assert found is None or not found.extracted
    (folder / open_to_others).chmod(0o755)
    assert PackageCaches([folder]).find(package) == Cached(folder / "greet-1.0-h0_0", True)
