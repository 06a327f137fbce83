"""Each system has its own folders for what programs can make again."""

from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import windows

from jupyter_condabuild.conda.package_cache import default_folders
from jupyter_condabuild.system import folders

HOME = Path("/home/ada")


def test_caches_are_where_the_system_has_them() -> None:
    """The variables of the system decide where it has any."""
    assert folders.caches(HOME, {}, "linux") == HOME / ".cache"
    assert folders.caches(HOME, {"XDG_CACHE_HOME": "/cache"}, "linux") == Path("/cache")
    assert folders.caches(HOME, {"XDG_CACHE_HOME": "/cache"}, "darwin") == HOME / "Library/Caches"
    assert folders.caches(HOME, {"LOCALAPPDATA": "D:/Local"}, "win32") == Path("D:/Local")
    assert folders.caches(HOME, {}, "win32") == HOME / "AppData/Local"


def test_the_store_is_in_the_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """platformdirs knows the place on macOS and Windows."""

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    monkeypatch.setattr(windows, "get_win_folder", windows.get_win_folder_from_env_vars)  # the others need Windows
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert folders.own_cache("lab", "linux") == tmp_path / ".cache/lab"
    assert folders.own_cache("lab", "darwin") == tmp_path / "Library/Caches/lab"
    assert folders.own_cache("lab", "win32").is_relative_to(tmp_path / "Local")


def test_the_package_caches_of_each_system_are_found(tmp_path: Path) -> None:
    """Those of conda and rattler on Windows, and of rattler on macOS."""
    of_windows = [tmp_path / "AppData/Local" / place for place in ("rattler/cache/pkgs", "conda/conda/pkgs")]
    of_macos = tmp_path / "Library/Caches/rattler/cache/pkgs"
    for folder in (*of_windows, of_macos):
        folder.mkdir(parents=True)
    environ = {"HOME": str(tmp_path)}
    assert default_folders(environ=environ, system="win32") == tuple(of_windows)
    assert default_folders(environ=environ, system="darwin") == (of_macos,)
    assert default_folders(environ=environ, system="linux") == ()
