"""The bytes of an image do not depend on the file system of the store, of the package caches, or of a checkout.

The file system here is a real NTFS with a driver that folds capital letters, lists names in another order, has no x
bits, and can refuse the names that Windows refuses. A Windows without the right to make symbolic links is simulated:
Python makes none, and tests look whether the installer, which is no Python, has made one. HFS+, which changes the form
of accents, is not tried.
"""

from __future__ import annotations

import errno
import functools
import importlib
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.linking.archive import unpack
from jupyter_condabuild.conda.linking.extracted import Extracted
from jupyter_condabuild.conda.linking.link import link as link_packages
from jupyter_condabuild.conda.linking.link import linked_package
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import Cached, PackageCaches, hash_file
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import StoreUnwritable, UnsafePackage
from jupyter_condabuild.image import programs
from jupyter_condabuild.system import names
from tests.end_to_end.ntfs import mounted
from tests.end_to_end.test_determinism import SPECS
from tests.engines.test_other_platforms import from_index, pip_install, write
from tests.parts.builds import Workshop, explicit, small_channel
from tests.parts.channel import hostile
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.bytecode import SITE_PACKAGES as SITE
from tests.parts.channel.hostile import Member, conda, file, info, link, path_entry, tar_bz2
from tests.parts.channel.package import PLACEHOLDER, Entry, File, Metadata, Symlink
from tests.parts.channel.wheel_index import WheelIndex

Maker = Callable[[Path, Sequence[Member], Sequence[Member]], Path]


def refuse_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `os.symlink` fail as on Windows without the Developer Mode: Python maps its error 1314 to EINVAL."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)


@pytest.fixture
def ntfs(tmp_path: Path) -> Iterator[Path]:
    """A folder on NTFS."""
    with mounted(tmp_path) as place:
        yield place


@pytest.mark.parametrize("caches", ["extracted", "archives"])
def test_a_store_on_ntfs_gives_the_same_image(
    ntfs: Path, tmp_path: Path, channel_url: str, small_base: str, caches: str
) -> None:
    """Packages are linked and compiled there; without an extracted package in a cache, they are unpacked there, too."""
    prefix = prefixes.create(tmp_path / "env", SPECS, channel_url, tmp_path / "pkgs")
    expected = Workshop(tmp_path / "usual", small_base).image(prefix)
    files = [node for node in expected.tree().values() if node.kind == "file"]
    assert {node.executable for node in files} == {True, False}
    if caches == "archives":
        for extracted in (path for path in (tmp_path / "pkgs").iterdir() if path.is_dir()):
            shutil.rmtree(extracted)
    found = Workshop(ntfs / "work", small_base).image(prefix)
    assert found.layers == expected.layers
    assert found.digest == expected.digest


def test_an_extracted_package_without_modes_is_not_used(
    ntfs: Path, tmp_path: Path, channel_url: str, small_base: str
) -> None:
    """Its x bits say nothing. The archive beside it has them."""
    prefix = prefixes.create(tmp_path / "env", ["python"], channel_url, tmp_path / "pkgs")
    shutil.copytree(tmp_path / "pkgs", ntfs / "pkgs", symlinks=True)
    for package in lock(snapshot(prefix)).conda:
        usual = PackageCaches([tmp_path / "pkgs"]).find(package)
        assert usual is not None
        assert usual.extracted
        there = PackageCaches([ntfs / "pkgs"]).find(package)
        assert there is None or not there.extracted


@pytest.mark.parametrize(("names", "used"), [(("A", "b"), True), (("A", "a"), False), (("A/x", "a"), False)])
def test_an_extracted_package_without_some_of_its_files_is_not_used(
    tmp_path: Path, names: Sequence[str], *, used: bool
) -> None:
    """Where `A` and `a` are one file, it has the content of one of them. So it is for conda's cache on a Mac."""
    archive = conda(tmp_path, [file(name) for name in names], info([path_entry(name) for name in names]))
    package = CondaPackage.of_url(f"https://lab.org/noarch/{archive.name}", sha256=hash_file(archive))
    with mounted(tmp_path, options="ignore_case,permissions") as place:
        place.chmod(0o755)
        unpack(archive, place / "pkgs" / package.dist)
        (place / "pkgs" / package.dist / "info/repodata_record.json").write_text(f'{{"sha256": "{package.sha256}"}}')
        assert (PackageCaches([place / "pkgs"]).find(package) is not None) is used


@pytest.mark.parametrize("make", [conda, tar_bz2])
def test_folders_whose_names_differ_in_capitals_are_one(ntfs: Path, tmp_path: Path, make: Maker) -> None:
    """The database of terminals has folders `N` and `n`. Each file is found by its path."""
    members = [file("share/N/x", b"1", 0o755), file("share/n/y", b"2"), file("share/N/z", b"3")]
    unpacked = unpack(make(tmp_path, members, info([])), ntfs / "to")
    for name, data in (("share/N/x", b"1"), ("share/n/y", b"2"), ("share/N/z", b"3")):
        assert (ntfs / "to" / name).read_bytes() == data
    assert unpacked.executables == {"share/N/x"}


def _all_names() -> list[tuple[Metadata, list[Entry]]]:
    """Returns packages with files whose names are one name, or none, on some systems. The texts contain the prefix."""

    def text(path: str, content: str) -> File:
        return File(path, f"{content} {PLACEHOLDER}/x\n".encode(), 0o755 if "A" in path else 0o644, PLACEHOLDER)

    composed, decomposed = (unicodedata.normalize(form, "share/caf\u00e9") for form in ("NFC", "NFD"))
    entries: list[Entry] = [
        File("share/terminfo/E/Eterm", b"terminal", 0o644),
        Symlink("share/terminfo/e/eterm", "../E/Eterm"),
        File("share/terminfo/N/ncr", b"N"),
        File("share/terminfo/n/NCR", b"n", 0o755),
        text("etc/A", "large"),
        text("etc/a", "small"),
        File("share/B", b"a file"),
        File("share/b/x", b"in a folder"),
        text("share/b/y", "in a folder"),
        Symlink("share/C", "b"),
        File("share/c/x", b"in another folder"),
        Symlink("share/d", "one"),
        Symlink("share/D", "other"),
        File("INFO/index.json", b"not the metadata"),
        File(composed, b"composed"),
        File(decomposed, b"decomposed"),
        *(File(f"share/man/{name}", name.encode()) for name in ("Foo::Bar.3", "aux", "Con.txt", "dot.", "a\\b", "q?")),
        text("share/nul/x", "below a device"),
        Symlink("share/COM1.log", "aux"),
    ]
    modules: list[Entry] = [
        File("site-packages/Mod.py", b"large = 1\n"),
        File("site-packages/mod.py", b"small = 1\n"),
        text("site-packages/DATA", "large"),
        text("site-packages/data", "small"),
        text("python-scripts/GO", "large"),
    ]
    points = ("Run = mod:large", "run = mod:small", "go = mod:main")
    return [
        (Metadata("python", "3.12.1"), [File("bin/python3.12", b"python", 0o755), Symlink("bin/python", "python3.12")]),
        (Metadata("names", "1.0"), entries),
        (Metadata("modules", "1.0", noarch="python", entry_points=points), modules),
        (Metadata("others", "1.0"), [text("ETC/a", "of another package"), Symlink("share/nul/X", "../x")]),
    ]


def _old_package(folder: Path) -> Path:
    """Returns a package of conda-build 2, with names that are one name on some systems, and a text with the prefix."""
    infos = [item for item in info([]) if item[0].name != "info/paths.json"]
    infos += [
        file("info/files", b"etc/x\netc/X\netc/y\netc/Y\n"),
        file("info/has_prefix", f"{PLACEHOLDER} text etc/x\n".encode()),
    ]
    text = f"{PLACEHOLDER}/x\n".encode()
    return tar_bz2(folder, [file("etc/x", text, 0o755), link("etc/X", "x"), file("etc/y", b"y"), file("etc/Y")], infos)


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_names_that_are_one_or_none_here_give_the_same_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_base: str, system: str
) -> None:
    """`ncurses` has `E/Eterm` and `e/eterm`, perl's manuals `Foo::Bar.3`. Such files are stored under other names."""
    lockfile = explicit(small_channel(tmp_path / "channel", _all_names()), tmp_path / "lock.txt")
    lockfile.write_text(lockfile.read_text() + hostile.explicit(_old_package(tmp_path)).splitlines()[-1] + "\n")
    expected = Workshop(tmp_path / "usual", small_base).image(lockfile, bytecode=False)
    tree = expected.tree()
    assert {entry.path for entry in _all_names()[1][1]} <= tree.keys()
    assert tree["share/terminfo/e/eterm"].target == "../E/Eterm"
    assert {f"bin/{name}" for name in ("GO", "Run", "run", "go")} <= tree.keys()
    assert tree["etc/X"].target == "x"
    assert (expected.read("opt/env/etc/x"), tree["etc/x"].executable) == (b"/opt/env/x\n", True)
    monkeypatch.setattr(names, "no_name", functools.partial(names.no_name, system))
    if system == "win32":
        refuse_links(monkeypatch)
    with mounted(tmp_path, options="ignore_case,windows_names" if system == "win32" else "ignore_case") as place:
        found = Workshop(place / "work", small_base).image(lockfile, bytecode=False)
    assert found.layers == expected.layers
    assert found.digest == expected.digest


@pytest.mark.parametrize("make", [conda, tar_bz2])
@pytest.mark.parametrize(
    "members",
    [
        [file("share/A", b"1"), file("share/a", b"2"), file("share/A", b"3")],
        [file("share/A", b"1"), link("share/a", "A")],
        [link("share/a", "b"), file("share/A", b"1"), link("share/b", "share/A", hard=True)],
        [file("share/a", b"1"), file("share/A/x", b"2"), file("share/A/b/x", b"3")],
        [link("share/a", "/etc"), file("share/A/x", b"2")],
        [file("INFO/index.json", b"{}"), file("InFo", b"x")],
    ],
)
def test_a_file_whose_name_is_that_of_another_is_put_beside(
    ntfs: Path, tmp_path: Path, make: Maker, members: Sequence[Member]
) -> None:
    """Each path of the archive has its file, and the metadata is that of the archive."""
    archive = make(tmp_path, members, info([]))
    usual, there = Extracted(tmp_path / "to"), Extracted(ntfs / "to", unpack(archive, ntfs / "to").apart)
    assert not unpack(archive, tmp_path / "to").apart
    assert there.apart
    for name in [*(member.name for member, _ in members), "info/index.json"]:
        one, other = usual.file(name), there.file(name)
        assert os.path.islink(one) == os.path.islink(other)
        read = os.readlink if os.path.islink(one) else lambda path: Path(path).read_bytes()
        assert read(one) == read(other)


def test_two_files_with_metadata_are_not_taken_for_each_other(ntfs: Path, tmp_path: Path) -> None:
    """What an installer reads must not depend on the file system."""
    archive = conda(tmp_path, [], [file("info/Index.json", b"{}"), *info([])])
    with pytest.raises(UnsafePackage, match=r"'info/index\.json', .* metadata"):
        unpack(archive, ntfs / "to")


def test_an_odd_old_package_with_such_names_is_refused(ntfs: Path, tmp_path: Path, small_base: str) -> None:
    """Only the installer knows what its lists mean. The error says where the names fit."""
    infos = [item for item in info([]) if item[0].name != "info/paths.json"]
    infos += [file("info/files", b"share/A\nshare/a\n"), file("info/no_link", b"share/A\n")]
    archive = conda(tmp_path, [file("share/A"), file("share/a")], infos)
    (tmp_path / "lock.txt").write_text(hostile.explicit(archive))
    with pytest.raises(StoreUnwritable, match="evil-1-0 has files") as caught:
        Workshop(ntfs / "work", small_base).image(tmp_path / "lock.txt")
    assert "store_dir" in caught.value.hint


def test_nothing_makes_a_link_where_none_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The targets of links are those of the archive, also where a later member has the name of a link."""
    refuse_links(monkeypatch)
    members = [link("share/a", "b"), file("share/A", b"1"), link("share/a", "c"), link("share/d", "e"), file("share/d")]
    archive = conda(tmp_path, members, info([]))
    found = unpack(archive, tmp_path / "to")
    assert found.links == {"share/a": "c"}
    assert {path.name for path in (tmp_path / "to/share").iterdir()} == {"A", "d"}
    channel = small_channel(tmp_path / "channel", _all_names())
    packages = [CondaPackage.of_url(path.as_uri(), sha256=hash_file(path)) for path in channel.archives]
    packages = [replace(package, noarch="python") if package.name == "modules" else package for package in packages]
    cached = {package.dist: Cached(Path(path), False) for package, path in zip(packages, channel.archives, strict=True)}
    staged = link_packages(packages, cached, tmp_path / "link", "/opt/env")
    links = {file.path: file.target for one in staged.values() for file in linked_package(one, None, 0, "").files}
    assert links["share/terminfo/e/eterm"] == "../E/Eterm"
    assert links["bin/python"] == "python3.12"
    assert not [path for path in (tmp_path / "link").rglob("*") if path.is_symlink()]


def test_wheels_and_own_files_whose_names_are_one_here_give_the_same_image(
    tmp_path: Path, mac: Path, index: WheelIndex, monkeypatch: pytest.MonkeyPatch, small_base: str
) -> None:
    """They are laid out in the store, which may keep neither their names nor their x bits. All are in the image."""
    points = b"[console_scripts]\nRun = one:main\nrun = one:main\n"
    one = {"Data/x": b"one", "data/X": b"two", "Mod.py": b"large = 1\n", "one.data/scripts/Go": b"#!python\n"}
    aside = {"one-1.0.data/data/share/Foo::Bar.3": b"manual", "one-1.0.data/data/share/notes.txt": b"of one"}
    index.wheel("one", files={**one, **aside, "one-1.0.dist-info/entry_points.txt": points})
    index.wheel("two", files={"DATA/x": b"three", "DaTa": b"four", "mod.py": b"small = 1\n", "aux.py": b"import os\n"})
    own = {"share/Notes.txt": b"large", "share/NOTES.txt": b"capital", "Share/run.sh": f"{mac}/x\n".encode()}
    own |= {"share/RUN.sh": b"text", "Share/pip.conf": b"[global]\nindex-url = https://ada:pw@lab.org/simple\n"}
    write(mac, {**own, "share/PIP.conf": b"text"})
    (mac / "Share/run.sh").chmod(0o755)
    for path, target in {"share/link": "Notes.txt", "share/LINK": str(mac / "bin"), "share/out": "../../x"}.items():
        (mac / path).symlink_to(target)
    for name in ("one", "two"):
        pip_install(mac, SITE, name)
    from_index(mac, index)
    expected = Workshop(tmp_path / "usual", small_base).image(mac, platform="linux-64")
    tree = expected.tree()
    modules = (f"{SITE}/{name}" for name in ("Data/x", "data/X", "Mod.py", "mod.py", "DATA/x", "DaTa", "aux.py"))
    places = {*modules, "bin/Run", "bin/run", "share/Foo::Bar.3", "share/notes.txt", *own, "share/PIP.conf"}
    assert places <= tree.keys()
    assert {path for path in places if tree[path].executable} == {"Share/run.sh", "bin/Run", "bin/run"}
    links = {name: tree[f"share/{name}"].target for name in ("link", "LINK", "out")}
    assert links == {"link": "Notes.txt", "LINK": "/opt/env/bin", "out": f"{tmp_path}/x"}
    assert b"ada" not in expected.read("opt/env/Share/pip.conf")
    monkeypatch.setattr(names, "no_name", functools.partial(names.no_name, "win32"))
    refuse_links(monkeypatch)
    with mounted(tmp_path, options="ignore_case,windows_names") as place:
        found = Workshop(place / "work", small_base).image(mac, platform="linux-64")
    assert found.layers == expected.layers
    assert found.digest == expected.digest


def test_the_form_of_accents_is_that_of_the_archive(ntfs: Path, tmp_path: Path) -> None:
    """`é` may be one character or two. Both names stay, on each file system, and neither is changed."""
    names = {unicodedata.normalize(form, "lib/caf\u00e9") for form in ("NFC", "NFD")}
    archive = conda(tmp_path, [file(name, name.encode()) for name in sorted(names)], info([]))
    for folder in (tmp_path / "to", ntfs / "to"):
        unpack(archive, folder)
        assert {f"lib/{name}" for name in os.listdir(folder / "lib")} == names
        assert all((folder / name).read_bytes() == name.encode() for name in names)


def test_the_ends_of_lines_in_a_checkout_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git on Windows writes CR and LF. A shell in the image would not run such a program."""
    expected = programs.PROGRAMS
    read = Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read(path).replace(b"\n", b"\r\n"))
        found = importlib.reload(programs).PROGRAMS
    importlib.reload(programs)
    assert found == expected
    assert not any(b"\r" in data for data in found.values())
