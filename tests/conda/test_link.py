"""Linking: the files of a package as they are in /opt/env, and its record, without a trace of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import rattler

from jupyter_condabuild.conda.linking.bytecode import Compiler
from jupyter_condabuild.conda.linking.clobbers import link_order
from jupyter_condabuild.conda.linking.link import LinkedFile, LinkedPackage, link, linked_package
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.package_cache import Cached, PackageCaches, hash_file
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LinkFailed, PackageMismatch, UnsafePackage
from jupyter_condabuild.image.paths import PREFIX
from tests.parts.builds import install, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import PLACEHOLDER, File, Metadata, Symlink
from tests.parts.image_tree import Node, differences, node_at, tree_of

EPOCH = 315532800
ODD = ("clobber-a", "clobber-b", "oddnames", "credentialed")


class Linked:
    """The packages that are linked into a folder."""

    def __init__(self, folder: Path, packages: Iterable[CondaPackage], caches: PackageCaches) -> None:
        self.folder = folder
        self.packages = {package.name: package for package in packages}
        self.sources = {package.dist: _found(caches, package) for package in self.packages.values()}
        self.staged = link(tuple(self.packages.values()), self.sources, folder, PREFIX)

    def __getitem__(self, name: str) -> LinkedPackage:
        compiled = str(self.folder / f"{name}.bytecode")
        staged = self.staged[self.packages[name].dist]
        if "python" not in self.packages:
            return linked_package(staged, None, EPOCH, compiled)
        with Compiler(self.staged[self.packages["python"].dist].python) as compiler:
            return linked_package(staged, compiler, EPOCH, compiled)

    def files(self, name: str) -> dict[str, Path]:
        """Returns the contents of the linked files, by their path in the prefix; without links."""
        return {file.path: Path(file.source) for file in self[name].files if not file.target}

    def links(self, name: str) -> dict[str, str]:
        """Returns the targets of the links, by their path in the prefix."""
        return {file.path: file.target for file in self[name].files if file.target}


def _found(caches: PackageCaches, package: CondaPackage) -> Cached:
    found = caches.find(package)
    assert found, package.dist
    return found


@pytest.fixture(scope="module")
def locked(rattler_prefix: Path) -> Lockfile:
    return lock(snapshot(rattler_prefix))


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory, locked: Lockfile, package_cache: Path) -> Linked:
    """All packages of `rattler_prefix`."""
    return Linked(tmp_path_factory.mktemp("link"), locked.conda, PackageCaches([package_cache]))


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, channel_url: str) -> Linked:
    """The packages with unusual files."""
    folder = tmp_path_factory.mktemp("odd")
    prefix = install(folder / "env", _At(channel_url), *ODD)  # type: ignore[arg-type]
    return Linked(folder / "link", lock(snapshot(prefix)).conda, PackageCaches([folder / "pkgs"]))


class _At:
    def __init__(self, url: str) -> None:
        self.url = url


def test_text_and_binaries_contain_the_images_prefix(linked: Linked) -> None:
    """Placeholders become /opt/env. In a binary, the bytes after the path do not move."""
    files = linked.files("textprefix")
    assert files["bin/where"].read_text().splitlines()[1] == f"prefix={PREFIX}"
    assert files["share/textprefix/editable.ini"].read_text() == f"root = {PREFIX}\n"
    assert files["bin/where-python"].read_text().splitlines()[0] == f"#!{PREFIX}/bin/python"
    library = linked.files("greet")["lib/libgreet.so.1.0"]
    original = linked.sources[linked.packages["greet"].dist].path / "lib/libgreet.so.1.0"
    assert library.stat().st_size == original.stat().st_size
    assert f"{PREFIX}\0".encode() in library.read_bytes() or f"{PREFIX}/share".encode() in library.read_bytes()


def test_no_path_of_this_machine_is_left(linked: Linked) -> None:
    """No file and no record contains the staging folder, and no file contains the placeholder."""
    here = os.fsencode(linked.folder)
    for name in linked.packages:
        package = linked[name]
        assert here not in package.record
        for data in (Path(file.source).read_bytes() for file in package.files if _plain(file.source)):
            assert not any(text in data for text in (here, b"placehold_placehold")), name


def _plain(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def test_the_files_are_the_same_as_those_of_rattler(
    linked: Linked, locked: Lockfile, tmp_path: Path, package_cache: Path, channel_url: str
) -> None:
    """All packages together have the same files as py-rattler's installation, without bytecode and records."""
    import asyncio

    from tests.parts.channel import prefix
    from tests.parts.channel.fixtures import SPECS

    records = prefix.solve(SPECS, channel_url, package_cache)
    target = {"alternative_target_prefix": PREFIX, "execute_link_scripts": False, "show_progress": False}
    asyncio.run(rattler.install(records, tmp_path / "env", cache_dir=package_cache, **target))
    ours = {path: node_at(file) for name in linked.packages for path, file in linked.files(name).items()}
    ours |= {
        path: Node("symlink", target=target) for name in linked.packages for path, target in linked.links(name).items()
    }
    shipped = {path for path in tree_of(tmp_path / "env") if path.endswith(".pyc")}
    ours = {path: node for path, node in ours.items() if not path.endswith(".pyc") or path in shipped}
    theirs = {
        path: node
        for path, node in tree_of(tmp_path / "env").items()
        if not path.startswith("conda-meta/") and path != "CACHEDIR.TAG"
    }
    assert differences(ours, theirs) == {}
    for name in ("greet", "python"):
        dist = linked.packages[name].dist
        assert _links(linked[name].record) == _links((tmp_path / f"env/conda-meta/{dist}.json").read_bytes()) != []


def _links(record: bytes) -> list[dict[str, object]]:
    """Returns what a record says of links."""
    paths = json.loads(record)["paths_data"]["paths"]
    return sorted((path for path in paths if path["path_type"] == "softlink"), key=lambda path: path["_path"])


def test_modules_of_noarch_packages_get_bytecode(linked: Linked) -> None:
    """The modules are compiled as in conda. Shipped bytecode stays, and modules that cannot be compiled have none."""
    files = linked.files("templated")
    assert any("templated/__pycache__/program." in path for path in files)
    assert not any("__pycache__/module." in path for path in files)
    native = linked.files("charset-normalizer")
    assert not any(".bytecode/" in str(file) for file in native.values())


def test_entry_points_run_the_images_python(linked: Linked) -> None:
    """The scripts of entry points are executable."""
    script = linked.files("templated")["bin/templated"]
    assert script.read_text().startswith(f"#!{PREFIX}/bin/python")
    assert os.access(script, os.X_OK)


def test_odd_names_are_kept(odd: Linked) -> None:
    """Newlines, quotes, any Unicode, broken links, and targets that are not text are kept."""
    files = odd.files("oddnames")
    assert files["share/oddnames/new\nline"].read_text() == "new\nline"
    links = odd.links("oddnames")
    assert os.fsencode(links["share/oddnames/not-utf-8"]) == b"caf\xe9"
    assert links["share/oddnames/dangling"] == "nowhere"
    assert files["share/oddnames/" + "x/" * 60 + "deep"].is_file()


def test_each_package_keeps_its_file_of_a_shared_path(odd: Linked) -> None:
    """The choice of py-rattler for the shared path does not matter."""
    shared = "share/clobber/same.txt"
    assert odd.files("clobber-a")[shared].read_text() == "from a\n"
    assert odd.files("clobber-b")[shared].read_text() == "from b, longer\n"
    for name in ("clobber-a", "clobber-b"):
        assert shared in json.loads(odd[name].record)["files"]
        assert b"__clobbers__" not in odd[name].record


@pytest.mark.parametrize("name", ["python", "requests", "templated", "greet", "python_abi", "charset-normalizer"])
def test_rattler_reads_the_records(linked: Linked, tmp_path: Path, name: str) -> None:
    """Each record names the package and lists its files, with the hashes of the files in the prefix."""
    package, locked = linked[name], linked.packages[name]
    path = tmp_path / Path(package.record_path).name
    path.write_bytes(package.record)
    record = rattler.PrefixRecord.from_path(path)
    assert (record.name.normalized, str(record.version), str(record.build)) == (name, locked.version, locked.build)
    assert (record.sha256, str(record.url)) == (bytes.fromhex(locked.sha256), locked.url)
    assert record.md5 == bytes.fromhex(locked.md5)
    files = linked.files(name)
    assert sorted(map(str, record.files)) == sorted([*files, *linked.links(name)])
    for entry in json.loads(package.record)["paths_data"]["paths"]:
        expected = entry.get("sha256_in_prefix") or ("" if entry.get("prefix_placeholder") else entry.get("sha256"))
        if expected and entry["path_type"] != "softlink":
            assert hash_file(files[entry["_path"]]) == expected


def test_a_record_depends_only_on_the_package(
    linked: Linked, tmp_path: Path, locked: Lockfile, package_cache: Path
) -> None:
    """The bytes are the same from another folder, and with other packages."""
    few = [package for package in locked.conda if package.name in ("requests", "python")]
    alone = Linked(tmp_path / "alone", few, PackageCaches([package_cache]))
    assert alone["requests"].record == linked["requests"].record
    one, other = ({file.path: _content(file) for file in each["requests"].files} for each in (alone, linked))
    assert one == other


def _content(file: LinkedFile) -> object:
    if file.target:
        return file.target
    if file.size is None:
        return node_at(Path(file.source))
    return Path(file.source).read_bytes()[file.offset : file.offset + file.size]


def test_a_record_contains_no_credentials(odd: Linked) -> None:
    """A record contains neither the user, nor the folder of the cache, nor the time of the installation."""
    record = json.loads(odd["credentialed"].record)
    assert not {"link", "extracted_package_dir", "package_tarball_full_path"} & record.keys()
    assert record["requested_specs"] == []


def test_the_package_cache_is_not_written_to(tmp_path: Path, locked: Lockfile, package_cache: Path) -> None:
    """Linked files can be hard links to files of the cache. Bytecode and other files are new files."""
    cache = Path(shutil.copytree(package_cache, tmp_path / "pkgs", symlinks=True))
    before = _state(cache)
    copy = Linked(tmp_path / "link", locked.conda, PackageCaches([cache]))
    for name in locked.conda:
        assert copy[name.name].files or name.name == "python_abi"
    assert _state(cache) == before


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for parent, _, files in os.walk(folder):
        for name in files:
            status = os.lstat(os.path.join(parent, name))
            found[os.path.join(parent, name)] = (status.st_size, status.st_mtime_ns)
    return found


@pytest.fixture
def small(tmp_path: Path) -> tuple[Channel, Path]:
    """A channel with one package, and the package cache of an environment that has the package."""
    files = [File("share/plain", b"plain"), File("bin/it", f"#!{PLACEHOLDER}/x\n".encode(), 0o755, PLACEHOLDER)]
    channel = small_channel(tmp_path / "channel", [(Metadata("small", "1.0", noarch="generic"), files)])
    install(tmp_path / "env", channel, "small")
    return channel, tmp_path / "pkgs"


def _packages(prefix: Path) -> Mapping[str, CondaPackage]:
    return {package.name: package for package in lock(snapshot(prefix)).conda}


def test_a_rewritten_file_with_a_change_in_the_cache_is_an_error(small: tuple[Channel, Path], tmp_path: Path) -> None:
    """The hash in the prefix cannot show the change, but the hash in the package can."""
    (small[1] / "small-1.0-0/bin/it").write_text(f"#!{PLACEHOLDER}/y\n")
    linked = Linked(tmp_path / "link", _packages(tmp_path / "env").values(), PackageCaches([small[1]]))
    with pytest.raises(PackageMismatch, match="bin/it of small"):
        linked["small"]


def test_an_incomplete_folder_in_the_cache_is_a_named_error(small: tuple[Channel, Path], tmp_path: Path) -> None:
    """The folder is marked as incomplete."""
    package = _packages(tmp_path / "env")["small"]
    (small[1] / "small-1.0-0/bin/it").unlink()
    with pytest.raises(LinkFailed, match=r"Cannot link small-1\.0-0"):
        Linked(tmp_path / "link", [package], PackageCaches([small[1]]))
    assert not _found(PackageCaches([small[1]]), package).complete


def test_an_old_archive_is_linked(tmp_path: Path) -> None:
    """The archive is a .tar.bz2 whose metadata is only info/files and info/has_prefix, without hashes."""
    source = tmp_path / "source"
    for name, text in {
        "bin/old": f"#!{PLACEHOLDER}/bin/x\n",
        "share/old.txt": "old\n",
        "info/files": "bin/old\nshare/old.txt\n",
        "info/has_prefix": f'"{PLACEHOLDER}" text "bin/old"\n',
        "info/index.json": json.dumps({"name": "old", "version": "1", "build": "0", "build_number": 0, "depends": []}),
    }.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    (source / "bin/old").chmod(0o755)
    archive = tmp_path / "old-1-0.tar.bz2"
    subprocess.run(["tar", "cjf", archive, "-C", source, "bin", "share", "info"], check=True)
    package = CondaPackage.of_url(f"https://lab.org/linux-64/{archive.name}", sha256=hash_file(archive))
    staged = link([package], {package.dist: Cached(archive, False)}, tmp_path / "link", PREFIX)
    linked = linked_package(staged[package.dist], None, EPOCH, tmp_path)
    files = {file.path: Path(file.source).read_text() for file in linked.files}
    assert files == {"bin/old": f"#!{PREFIX}/bin/x\n", "share/old.txt": "old\n"}


def test_a_package_cannot_leave_the_prefix(tmp_path: Path) -> None:
    """A path with .. is refused, and the error names it."""
    source = tmp_path / "source"
    paths = [{"_path": "../../escaped", "path_type": "hardlink", "sha256": "0" * 64, "size_in_bytes": 1}]
    (source / "info").mkdir(parents=True)
    (source / "info/index.json").write_text(
        json.dumps({"name": "bad", "version": "1", "build": "0", "build_number": 0})
    )
    (source / "info/paths.json").write_text(json.dumps({"paths": paths, "paths_version": 1}))
    (tmp_path / "escaped").write_text("x")
    package = CondaPackage.of_url("https://lab.org/linux-64/bad-1-0.conda", sha256="0" * 64)
    with pytest.raises(UnsafePackage, match=r"\.\./\.\./escaped"):
        link([package], {package.dist: Cached(source, True)}, tmp_path / "link", PREFIX)
    assert not (tmp_path / "link/escaped").exists()


def test_dependencies_are_linked_first() -> None:
    """A package that is linked after its dependencies wins a path that both have."""
    names = {"zlib": (), "app": ("zlib", "lib"), "lib": ("zlib",)}
    packages = [
        CondaPackage.of_url(f"https://lab.org/linux-64/{name}-1-0.conda", sha256="0" * 64, depends=depends)
        for name, depends in names.items()
    ]
    assert link_order(packages) == ["zlib-1-0", "lib-1-0", "app-1-0"]


def test_a_name_with_capital_letters_is_sorted() -> None:
    """conda's names have no capital letters, but a record is a file, and can contain any name."""
    packages = [
        CondaPackage.of_url(f"https://lab.org/linux-64/{name}-1-0.conda", sha256="0" * 64, depends=depends)
        for name, depends in {"App": ("Lib",), "Lib": ()}.items()
    ]
    assert link_order(packages) == ["Lib-1-0", "App-1-0"]


def test_links_are_kept_as_links(linked: Linked) -> None:
    """Their targets do not change."""
    assert linked.links("greet")["lib/libgreet.so"] == "libgreet.so.1"


def test_a_module_that_is_a_link_has_no_bytecode(tmp_path: Path) -> None:
    """The file behind the link may be in another package. The other modules have bytecode."""
    site = "lib/python3.12/site-packages"
    modules = [File(f"{site}/module.py", b"x = 1\n"), Symlink(f"{site}/alias.py", "module.py")]
    channel = small_channel(tmp_path / "channel", [(Metadata("modules", "1.0", depends=("python",)), modules)])
    package = CondaPackage.of_url(channel.archives[0].as_uri(), sha256=hash_file(channel.archives[0]))
    staged = link([package], {package.dist: Cached(channel.archives[0], False)}, tmp_path / "link", PREFIX)
    with Compiler(Path(sys.executable)) as compiler:
        linked = linked_package(staged[package.dist], compiler, EPOCH, str(tmp_path / "bytecode"))
    assert [file.path for file in linked.files if file.path.endswith(".pyc")] == [
        f"{site}/__pycache__/module.{sys.implementation.cache_tag}.pyc"
    ]
