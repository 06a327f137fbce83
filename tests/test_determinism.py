"""Same packages, same image: whoever builds it, where, when and however many processes do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builds import Workshop
from tests.channel import prefix
from tests.command_line import CommandLine
from tests.image_tree import SavedImage

SPECS = ("python", "requests", "tqdm", "textprefix", "greet", "activation", "templated")
STRANGER = 54321


@pytest.fixture(scope="session")
def make(channel_url: str, package_cache: Path) -> Callable[[Path], Path]:
    """A prefix of the same packages, wherever one asks for it."""
    return lambda folder: prefix.create(folder, SPECS, channel_url, package_cache)


@pytest.fixture
def reference(session_workshop: Workshop, make: Callable[[Path], Path], tmp_path: Path) -> SavedImage:
    """The image as this user builds it here."""
    return session_workshop.image(make(tmp_path / "reference"))


def same(one: SavedImage, other: SavedImage) -> None:
    """The images are one and the same; told layer by layer first, to see which differs."""
    assert one.package_layers == other.package_layers
    assert one.diff_ids == other.diff_ids
    assert one.config == other.config
    assert one.digest == other.digest


@pytest.mark.parametrize(
    "environ",
    [
        {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1"},
        {"LANG": "C", "LC_ALL": "POSIX", "PYTHONHASHSEED": "4242", "PYTHONUTF8": "0"},
        {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONOPTIMIZE": "2", "SOURCE_DATE_EPOCH": "1", "COLUMNS": "20"},
    ],
    ids=["time zone", "locale", "interpreter"],
)
def test_surroundings_do_not_matter(
    tmp_path: Path, small_base: str, make: Callable[[Path], Path], reference: SavedImage, environ: dict[str, str]
) -> None:
    """Time zone, locale, hash seed and interpreter flags leave no trace; nor does an empty store."""
    run = CommandLine(tmp_path)
    done = run("build", make(tmp_path / "env"), "-o", "image.tar", "--base", small_base, environ=environ)
    assert done.status == 0, done.err
    same(SavedImage(tmp_path / "image.tar"), reference)


def test_user_and_umask_do_not_matter(
    tmp_path: Path, small_base: str, make: Callable[[Path], Path], reference: SavedImage
) -> None:
    """Another user with the strictest umask, who may only read the environment, makes the same image."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root with util-linux's setpriv can become another user")
    home = tmp_path / "stranger"
    home.mkdir()
    os.chown(home, STRANGER, STRANGER)
    run = CommandLine(home)
    # it may read what root may, since the interpreter can lie in root's home; what it writes is its own
    become = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    done = subprocess.run(
        [*become, *run.command("build", make(tmp_path / "env"), "-o", home / "image.tar", "--base", small_base)],
        env={**run.environ, "HOME": str(home), "CONDABUILD_STORE_DIR": str(home / "store")},
        umask=0o077,
        capture_output=True,
        text=True,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    assert (home / "image.tar").stat().st_uid == STRANGER
    same(SavedImage(home / "image.tar"), reference)


def test_the_prefix_may_lie_anywhere(
    workshop: Workshop, tmp_path: Path, make: Callable[[Path], Path], reference: SavedImage
) -> None:
    """A short path, a long one, one with a space: the image's prefix is the same."""
    for name in ("e", "with a space", "long" * 20):
        same(workshop.image(make(tmp_path / name)), reference)


@pytest.mark.parametrize("processes", [0, 1, 2, 5])
def test_the_number_of_processes_does_not_matter(
    tmp_path: Path,
    small_base: str,
    make: Callable[[Path], Path],
    reference: SavedImage,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
) -> None:
    """One after another in this process, or by five workers at once."""
    from jupyter_condabuild.build import layers, pool

    monkeypatch.setattr(pool, "cores", lambda: processes)
    monkeypatch.setattr(layers, "SMALL", 0)
    same(Workshop(tmp_path, small_base).image(make(tmp_path / "env")), reference)


def test_conda_and_rattler_make_the_same_packages(workshop: Workshop, conda_prefix: Path, rattler_prefix: Path) -> None:
    """An environment that conda made has the same package layers as one of the same packages by rattler."""
    assert workshop.image(conda_prefix, "conda").package_layers == workshop.image(rattler_prefix).package_layers


def test_two_levels_of_compression_share_their_diff_ids(
    workshop: Workshop, tmp_path: Path, small_base: str, make: Callable[[Path], Path]
) -> None:
    """What a compressor does is not what a layer holds: digests differ, diff_ids do not."""
    source = make(tmp_path / "env")
    one = workshop.image(source)
    other = Workshop(tmp_path / "other", small_base)
    other.folder.mkdir()
    two = other.image(source, compression_level=3)
    assert one.diff_ids == two.diff_ids
    assert one.package_layers != two.package_layers
