"""The packages, channels and prefixes of the tests are like those of real tools."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conda_package_streaming.package_streaming import (  # type: ignore[import-untyped]
    stream_conda_component,
    stream_conda_info,
)

from tests.parts.channel import channel as channels
from tests.parts.channel import prefix, python, special, wheels
from tests.parts.channel.channel import Channel, Recipe
from tests.parts.channel.package import MTIME, PLACEHOLDER, Entry, File, Metadata, Symlink, write


def _record(prefix: Path, name: str) -> dict[str, Any]:
    (path,) = (prefix / "conda-meta").glob(f"{name}-[0-9]*.json")
    record: dict[str, Any] = json.loads(path.read_bytes())
    return record


def _run(prefix: Path, program: str, *arguments: str) -> str:
    command = [str(prefix / "bin" / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.defpath}).stdout.strip()


def _paths(record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return zip(record["files"], record["paths_data"]["paths"], strict=True)


def test_a_package_has_always_the_same_bytes(tmp_path: Path) -> None:
    """Neither the time nor the order of the entries changes the archive."""
    entries: list[Entry] = [
        File("share/b", b"b"),
        Symlink("share/a", "b"),
        File("bin/c", PLACEHOLDER.encode(), 0o755, PLACEHOLDER),
    ]
    metadata = Metadata("same", "1.0", noarch="generic")
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    written = write(metadata, entries, first)
    os.utime(first, (0, 0))
    assert written.read_bytes() == write(metadata, entries[::-1], second).read_bytes()


@pytest.mark.parametrize("name", ["charset-normalizer", "greet", "pip"])
def test_a_package_that_is_made_again_has_the_same_bytes(
    channel: Channel, test_cache: Path, tmp_path: Path, name: str
) -> None:
    """Bytecode and compiled programs are the same, too."""
    files = wheels.download(channels.SETS["tiny"].requirements, test_cache / "wheels")
    libraries = {recipe.metadata.name for recipe in python.packages()}
    recipes: list[Recipe] = [*wheels.packages(files, libraries), *special.packages()]
    recipe = next(recipe for recipe in recipes if recipe.metadata.name == name)
    again = recipe.make(tmp_path)
    assert again.read_bytes() == (channel.folder / recipe.metadata.subdir / again.name).read_bytes()


def test_paths_json_is_correct(channel: Channel) -> None:
    """Size and digest of each path are those of the archive's member. A link to a file has the values of the file."""
    for archive in channel.archives:
        members: dict[str, tuple[int, str]] = {}
        with archive.open("rb") as file:
            for tar, member in stream_conda_component(archive.name, file, "pkg"):
                assert (member.mtime, member.uid, member.gid) == (MTIME, 0, 0)
                source = tar.extractfile(member) if member.isfile() else None
                if source:
                    content = source.read()
                    members[member.name] = (len(content), sha256(content).hexdigest())
        for tar, member in stream_conda_info(str(archive)):
            if member.name == "info/paths.json":
                source = tar.extractfile(member)
                assert source is not None
                paths = {path["_path"]: path for path in json.load(source)["paths"]}
        assert {name for name, path in paths.items() if path["path_type"] == "hardlink"} == members.keys(), archive
        for name, content_of in members.items():
            assert (paths[name]["size_in_bytes"], paths[name]["sha256"]) == content_of


def test_an_existing_package_is_not_made_again(channel: Channel, test_cache: Path) -> None:
    """A second build of a channel changes no package."""
    before = {path: path.stat().st_mtime_ns for path in channel.archives}
    again = channels.build(channel.folder, {"tiny"}, test_cache / "wheels")
    assert {path: path.stat().st_mtime_ns for path in again.archives} == before


def test_a_large_package_has_the_requested_size(tmp_path: Path) -> None:
    """The package can be compressed to about half of its size."""
    archive = special.LargePackage("large", 5_000_001, files=3).make(tmp_path)
    with archive.open("rb") as file:
        sizes = [member.size for _, member in stream_conda_component(archive.name, file, "pkg")]
    assert (len(sizes), sum(sizes)) == (3, 5_000_001)
    assert archive.stat().st_size < 0.6 * 5_000_001


def test_a_channel_records_the_requested_paths(channel: Channel) -> None:
    """A test can count the downloads."""
    seen: list[str] = []
    with channels.serve(channel, seen=seen) as url, urllib.request.urlopen(f"{url}/noarch/repodata.json") as response:
        assert "requests" in {package["name"] for package in json.load(response)["packages.conda"].values()}
    assert seen == ["/noarch/repodata.json"]


@pytest.mark.parametrize("made_by", ["rattler_prefix", "conda_prefix"])
def test_a_prefix_runs(made_by: str, request: pytest.FixtureRequest) -> None:
    """Python with its libraries, a noarch program, and binaries that find their own files run."""
    env: Path = request.getfixturevalue(made_by)
    modules = "requests, charset_normalizer, ssl, sqlite3, ctypes, lzma, bz2, zlib, readline, curses, uuid"
    assert _run(env, "python", "-c", f"import sys, {modules}; print(sys.prefix)") == str(env)
    assert _run(env, "greet") == f"hello from {env}"
    assert _run(env, "templated") == "templated runs"
    assert _run(env, "where").splitlines()[0] == str(env)


def test_libraries_come_from_the_prefix(rattler_prefix: Path) -> None:
    """Only glibc comes from the machine, so that the prefix runs in the smallest image."""
    code = "import ssl, sqlite3, ctypes, lzma, bz2, zlib, readline, curses; print(open('/proc/self/maps').read())"
    loaded = {line.split()[-1] for line in _run(rattler_prefix, "python", "-c", code).splitlines() if ".so" in line}
    foreign = {Path(path).name.split(".")[0] for path in loaded if not path.startswith(str(rattler_prefix))}
    assert foreign <= {"libc", "libm", "ld-linux-x86-64", "libpthread", "libdl", "librt", "libutil"}


def test_bytecode_in_packages_is_valid(rattler_prefix: Path) -> None:
    """An import writes nothing, because the time in each header is the time of its source."""
    code = "import json, asyncio, charset_normalizer.api"
    command = [str(rattler_prefix / "bin" / "python"), "-v", "-c", code]
    noise = subprocess.run(command, capture_output=True, text=True, check=True, env={}).stderr
    assert "matches" in noise
    assert not [line for line in noise.splitlines() if "stale" in line or line.startswith("# wrote")]


def test_requested_specs_are_recorded(rattler_prefix: Path) -> None:
    """Only the records of requested packages have specs."""
    assert _record(rattler_prefix, "requests")["requested_specs"] == ["requests"]
    assert not _record(rattler_prefix, "idna").get("requested_specs")


RECORD = ["name", "version", "build", "build_number", "channel", "subdir", "fn", "md5", "url", "sha256"]
NATIVE = [*RECORD, "arch", "platform", "depends", "constrains"]
SIZE = ["timestamp", "size"]
NOARCH = [*RECORD, "depends", "constrains", "noarch", "package_type"]
LAST = ["package_tarball_full_path", "extracted_package_dir", "files", "paths_data", "link"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("python", [*NATIVE, "python_site_packages_path", *SIZE, "requested_spec", *LAST, "requested_specs"]),
        ("charset-normalizer", [*NATIVE, *SIZE, "_requested_specs", *LAST]),
        ("idna", [*NOARCH, *SIZE, "_requested_specs", *LAST]),
    ],
)
def test_records_have_the_fields_of_conda(conda_prefix: Path, name: str, fields: list[str]) -> None:
    """The keys and their order are those of conda 26.7, with a licence if the package names one."""
    assert [key for key in _record(conda_prefix, name) if key != "license"] == fields


def test_paths_of_noarch_python_are_the_same_as_in_conda(conda_prefix: Path) -> None:
    """`paths_data` has `site-packages/`, and `files` has not. Bytecode and scripts are listed without a digest."""
    kinds = {}
    for file, path in _paths(_record(conda_prefix, "tqdm")):
        kinds[path["path_type"]] = set(path)
        if path["path_type"] == "hardlink":
            assert file == f"lib/{file.split('/')[1]}/{path['_path']}"
            assert path["sha256_in_prefix"] == path["sha256"] == sha256((conda_prefix / file).read_bytes()).hexdigest()
        else:
            assert file == path["_path"]
    undigested = {"_path", "path_type", "size_in_bytes"}
    assert kinds == {
        "hardlink": {*undigested, "sha256", "sha256_in_prefix"},
        "pyc_file": undigested,
        "unix_python_entry_point": undigested,
    }


def test_a_module_that_cannot_be_compiled_is_listed_without_bytecode(conda_prefix: Path) -> None:
    """conda does the same, at most with a warning."""
    files = _record(conda_prefix, "templated")["files"]
    assert any(file.endswith("templates/module.py") for file in files)
    assert not any("templates/__pycache__/module" in file for file in files)


def test_files_are_hard_links_into_the_cache(conda_prefix: Path) -> None:
    """Files with a prefix are not hard links, and contain the new prefix."""
    record = _record(conda_prefix, "greet")
    source = Path(record["link"]["source"])
    assert (conda_prefix / "share/greet/message.txt").samefile(source / "share/greet/message.txt")
    assert not (conda_prefix / "bin/greet").samefile(source / "bin/greet")
    for file, path in _paths(record):
        if path["path_type"] == "hardlink":
            assert path["sha256_in_prefix"] == sha256((conda_prefix / file).read_bytes()).hexdigest()


def test_the_cache_of_conda_contains_the_origin_of_packages(conda_prefix: Path, channel_url: str) -> None:
    """There are the archive, the extracted folder, `repodata_record.json` and `urls.txt`."""
    record = _record(conda_prefix, "requests")
    cache = Path(record["package_tarball_full_path"]).parent
    assert record["url"] in (cache / "urls.txt").read_text().splitlines()
    origin = json.loads(Path(record["extracted_package_dir"], "info/repodata_record.json").read_bytes())
    assert (origin["channel"], origin["sha256"]) == (f"{channel_url}/noarch", record["sha256"])
    assert not (conda_prefix / "CACHEDIR.TAG").exists()


def test_history_has_the_command_and_its_packages(conda_prefix: Path, channel_url: str) -> None:
    """The history also has the requested specs, in conda's format."""
    lines = (conda_prefix / "conda-meta" / "history").read_text().splitlines()
    assert lines[0].startswith("==> ")
    assert lines[1].startswith("# cmd: ")
    assert f"+{channel_url}/noarch::changing-1.0-0" in lines
    assert lines[-1].startswith("# update specs: ['python', 'requests', ")
    assert float((conda_prefix / "conda-meta" / "created_at").read_text()) > MTIME


ODD = ("oddnames", "clobber-a", "clobber-b", "postlink", "credentialed", "plaindata")


def test_odd_packages_are_linked_by_both_tools(channel_url: str, package_cache: Path, tmp_path: Path) -> None:
    """The trees are equal, except for the clobbered file: conda and py-rattler keep different ones."""
    rattler = prefix.create(tmp_path / "rattler", ODD, channel_url, package_cache, scripts=True)
    conda = prefix.conda_made(tmp_path / "conda", tmp_path / "pkgs", ODD, channel_url, env_vars={"TOKEN": "secret"})
    trees = [{p.relative_to(env) for p in (env / "share").rglob("*")} for env in (rattler, conda)]
    assert {path for path in trees[0] ^ trees[1] if "clobber" not in path.name} == set()
    assert (conda / "share/postlink/made.txt").read_text() == f"made for {conda}\n"
    assert os.readlink(os.fsencode(conda / "share/oddnames/not-utf-8")) == b"caf\xe9"
    assert "secret" in (conda / "conda-meta" / "state").read_text()
    claims = [_record(conda, name)["files"].count("share/clobber/same.txt") for name in ("clobber-a", "clobber-b")]
    assert claims == [1, 1]
