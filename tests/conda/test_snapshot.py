"""A snapshot is read from the files of an environment of any tool. Files that are not safe are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from jupyter_condabuild.conda.channels import ALIAS, channel_url, package_url
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.history import spec_name
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import BrokenRecord, NotAPrefix
from tests.parts.small_prefix import CHANNEL, SITE, SmallPrefix, specs_line

RECORDS = sorted((Path(__file__).parents[1] / "samples/records").iterdir())


@pytest.fixture
def small(tmp_path: Path) -> SmallPrefix:
    """A prefix with Python and numpy."""
    made = SmallPrefix(tmp_path / "envs" / "demo")
    made.python()
    made.add("numpy", "1.26.4", "py311_0", depends=["python >=3.11"])
    return made


def codes(environment: Environment) -> list[str]:
    return [warning.code for warning in environment.warnings]


def test_conda_and_rattler_prefixes_with_the_same_packages_give_the_same_snapshot(
    conda_prefix: Path, rattler_prefix: Path
) -> None:
    """Names, builds, hashes, requested specs and channel are the same, although the records differ."""
    conda, rattler = snapshot(conda_prefix), snapshot(rattler_prefix)
    assert [(record.dist, record.sha256, record.subdir) for record in conda.records] == [
        (record.dist, record.sha256, record.subdir) for record in rattler.records
    ]
    assert [spec_name(spec) for spec in conda.requested] == [spec_name(spec) for spec in rattler.requested]
    assert {"python", "requests", "changing=1.0"} < set(conda.requested)
    assert conda.channels == rattler.channels
    assert conda.platform == rattler.platform == "linux-64"
    assert conda.pip == rattler.pip == ()
    assert [item.code for item in (*conda.warnings, *rattler.warnings)] == ["local-channel"] * 2


def test_the_paths_of_both_kinds_are_in_the_prefix(conda_prefix: Path, rattler_prefix: Path) -> None:
    """conda's records have noarch files without their folder. For both kinds, the paths are those of existing files."""
    for prefix in (conda_prefix, rattler_prefix):
        paths = [entry.path for record in snapshot(prefix).records for entry in record.paths]
        assert len(paths) > 1000
        assert [path for path in paths if not os.path.lexists(prefix / path)] == []


def test_metadata_of_conda_is_read() -> None:
    """The sample of a real conda's metadata is read, if this repository has one."""
    sample = Path(__file__).parents[1] / "samples" / "demo"
    environment = snapshot(sample)
    assert environment.requested == ("python", "requests", "tqdm")
    assert len(environment.records) == 7


def test_reading_does_not_import_rattler() -> None:
    """Its 80 MB are loaded to link packages, and not to read an environment."""
    modules = ", ".join(
        f"jupyter_condabuild.conda.{name}" for name in ("prefix.snapshot", "prefix.drift", "lockfile", "prefix.kernel")
    )
    code = f"import sys, {modules}; sys.exit('rattler' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_requested_specs_come_from_history_and_records(small: SmallPrefix) -> None:
    """The latest line of the history counts. For other packages, the record counts. Removed packages are left out."""
    small.add("scipy", requested_spec="scipy >=1.11", requested_specs=["scipy", "scipy >=1.11"])
    small.history(
        specs_line(["numpy=1.25", "gone"]), specs_line(["numpy=1.26", "https://me:pw@h/t/tk-1/lab::python=3.11"])
    )
    assert snapshot(small.path).requested == ("numpy=1.26", "https://h/lab::python=3.11", "scipy >=1.11")


def test_channels_are_in_order_of_priority(small: SmallPrefix) -> None:
    """Channels of the latest command come first, by name or URL. Then come the others, by their number of packages."""
    for number in range(3):
        small.add(
            f"many-{number}", url=f"https://conda.example.org/many/noarch/many-{number}-1.0-0.conda", subdir="noarch"
        )
    small.history("# cmd: conda install -c https://me:pw@conda.example.org/lab/ -c unused many-0")
    assert snapshot(small.path).channels == (CHANNEL, "https://conda.example.org/many")
    small.history("# cmd: conda install -c many many-0")
    assert snapshot(small.path).channels == ("https://conda.example.org/many", CHANNEL)


@pytest.mark.parametrize(
    ("setting", "kept"), [("false", True), ("False", True), ("no", True), ("true", False), ("", False)]
)
def test_names_of_variables_follow_the_setting_of_conda(
    small: SmallPrefix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, kept: bool
) -> None:
    """`envvars_force_uppercase` is in .condarc or in a variable, which comes first. The default is capital letters."""
    (small.path / "conda-meta/state").write_text(json.dumps({"version": 1, "env_vars": {"my_Data": "x"}}))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CONDA_ENVVARS_FORCE_UPPERCASE", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.condarc").write_text(f"envvars_force_uppercase: {setting}\n")
    assert snapshot(small.path).variables == {"my_Data" if kept else "MY_DATA": "x"}
    monkeypatch.setenv("CONDA_ENVVARS_FORCE_UPPERCASE", "true" if kept else "false")
    assert snapshot(small.path).variables == {"MY_DATA" if kept else "my_Data": "x"}


def test_variables_are_those_that_conda_sets(small: SmallPrefix) -> None:
    """conda writes names in capital letters, and sets neither PATH nor a variable of the activation itself."""
    given = {"data_home": "1", "Data_Home": "2", "PATH": "/x", "Path": "/y", "CONDA_PREFIX": "/z", "NONE": None}
    (small.path / "conda-meta/state").write_text(json.dumps({"version": 1, "env_vars": given}))
    assert snapshot(small.path).variables == {"DATA_HOME": "2"}


def test_the_state_is_kept_and_never_shown(small: SmallPrefix) -> None:
    """Variables can be secrets. Their names are reported, but no repr and no warning contains their values."""
    state = {"version": 1, "env_vars": {"HF_TOKEN": "s3cret", "OFF": "***unset***"}}
    (small.path / "conda-meta/state").write_text(json.dumps(state))
    environment = snapshot(small.path)
    assert environment.variables == {"HF_TOKEN": "s3cret"}
    assert codes(environment) == ["variables"]
    assert "HF_TOKEN" in environment.warnings[0].message
    assert "s3cret" not in repr(environment)


def test_frozen_and_pinned_are_read(small: SmallPrefix) -> None:
    """A frozen environment has the message of the file, or no message if the file is empty."""
    (small.path / "conda-meta/pinned").write_text("numpy 1.26.*  # for the paper\n\n# no more\n")
    (small.path / "conda-meta/frozen").touch()
    environment = snapshot(small.path)
    assert (environment.pinned, environment.frozen) == (("numpy 1.26.*",), "")
    (small.path / "conda-meta/frozen").write_text('{"message": "Ask https://me:pw@h/ first"}')
    environment = snapshot(small.path)
    assert environment.frozen == "Ask https://h/ first"
    assert codes(environment) == ["frozen"]


def test_credentials_of_records_are_not_shown(small: SmallPrefix) -> None:
    """No repr, no channel and no warning contains them."""
    subdir = "https://me:s3cret@conda.example.org/t/tk-s3cret/lab/noarch"
    small.add("private", url=f"{subdir}/private-1.0-0.conda", subdir="noarch", channel=subdir, sha256=None)
    environment = snapshot(small.path)
    assert environment.channels == (CHANNEL,)
    assert codes(environment) == ["conda-without-hash"]
    assert "s3cret" not in repr(environment)


def test_an_environment_has_a_name(small: SmallPrefix, tmp_path: Path) -> None:
    """The name is that of the folder, of pixi's project for its default environment, or base for a base environment."""
    assert snapshot(small.path).name == "demo"
    project = SmallPrefix(tmp_path / "paper/.pixi/envs/default")
    project.add("x")
    assert snapshot(project.path).name == "paper"
    other = SmallPrefix(tmp_path / "paper/.pixi/envs/gpu")
    other.add("x")
    assert snapshot(other.path).name == "paper-gpu"
    (small.path / "condabin").mkdir()
    assert snapshot(small.path).name == "base"


def test_an_interrupted_update_is_reported(small: SmallPrefix) -> None:
    """If a package has two records, the newer one is used, and a warning names the other."""
    old = small.add("scipy", "1.0")
    small.add("scipy", "2.0")
    os.utime(old, (1.7e9, 1.7e9))
    environment = snapshot(small.path)
    assert [record.version for record in environment.records if record.name == "scipy"] == ["2.0"]
    assert codes(environment) == ["superseded-record"]
    assert "scipy-1.0-0" in environment.warnings[0].message


def test_a_folder_that_is_no_prefix_is_refused(tmp_path: Path) -> None:
    """A missing folder, no conda-meta, an empty conda-meta and a file are refused.

    The error names the path, with a hint.
    """
    (tmp_path / "empty/conda-meta").mkdir(parents=True)
    (tmp_path / "file").touch()
    for path in ("missing", ".", "empty", "file"):
        with pytest.raises(NotAPrefix) as caught:
            snapshot(tmp_path / path)
        assert str((tmp_path / path).absolute()) in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"name": "x", "version": "1"',
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"name": "x", "version": "1"}',
        b'{"name": "../x", "version": "1", "build": "0"}',
        b'{"name": "x", "version": "1/2", "build": "0"}',
        b'{"name": "x", "version": 1, "build": "0"}',
        b'{"name": "x", "version": "1", "build": "0", "fn": "../../x.conda"}',
        b'{"name": "x", "version": "1", "build": "0", "subdir": "../noarch"}',
        b'{"name": "x", "version": "1", "build": "0", "files": ["/etc/passwd"]}',
        b'{"name": "x", "version": "1", "build": "0", "files": ["lib/../../../x"]}',
        b'{"name": "x", "version": "1", "build": "0", "files": [7]}',
        b'{"name": "x", "version": "1", "build": "0", "size": "many"}',
        b'{"name": "x", "version": "1", "build": "0", "size": 1e999}',
        b'{"name": "x", "version": "1", "build": "0", "build_number": 1e999}',
        b'{"name": "x", "version": "1", "build": "0", "url": 5}',
        b'{"name": "x", "version": "1", "build": "0", "depends": 5}',
    ],
)
def test_a_broken_record_is_refused(small: SmallPrefix, content: bytes) -> None:
    """A record that is partial, incomplete or has a path outside of the prefix is refused. The error names the file."""
    (small.path / "conda-meta/x-1-0.json").write_bytes(content)
    with pytest.raises(BrokenRecord, match=r"conda-meta/x-1-0\.json") as caught:
        snapshot(small.path)
    assert caught.value.hint


@pytest.mark.parametrize("path", ["/home/user", "../../x", "lib/python3.12/../x/site-packages", "site-packages", 7])
def test_site_packages_outside_of_the_prefix_is_refused(small: SmallPrefix, path: object) -> None:
    """The metadata of pip is read in this folder."""
    small.add("python", "3.12.1", python_site_packages_path=path)
    with pytest.raises(BrokenRecord):
        snapshot(small.path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ""])
def test_paths_data_outside_of_the_prefix_is_refused(small: SmallPrefix, path: str) -> None:
    """The path is refused even if it is only in paths_data, and not in the list of files."""
    small.add("x", files={"share/x": b""}, paths_data={"paths": [{"_path": path}]})
    with pytest.raises(BrokenRecord):
        snapshot(small.path)


def test_other_files_in_conda_meta_are_ignored(small: SmallPrefix) -> None:
    """Files of editors and file systems are ignored. A broken history or state is handled like a missing one."""
    for name in ("._numpy-1.26.4-py311_0.json", "numpy.json~", "pixi"):
        (small.path / "conda-meta" / name).write_bytes(b"\xff")
    for name in ("history", "state", "pinned"):
        (small.path / "conda-meta" / name).write_bytes(b"\xff{\0")
    assert len(snapshot(small.path).records) == 2


def test_a_moved_prefix_gives_the_same_snapshot(small: SmallPrefix, tmp_path: Path) -> None:
    """Only the path of the prefix changes."""
    before = snapshot(small.path)
    shutil.copytree(small.path, tmp_path / "elsewhere" / "demo", symlinks=True)
    after = snapshot(tmp_path / "elsewhere" / "demo")
    assert [record.raw for record in after.records] == [record.raw for record in before.records]
    assert (after.requested, after.channels, after.warnings) == (before.requested, before.channels, before.warnings)


def test_site_packages_is_found(small: SmallPrefix, tmp_path: Path) -> None:
    """The folder is in the record, or depends on the version. A free-threaded Python has its own folder."""
    assert snapshot(small.path).site_packages == SITE
    threaded = SmallPrefix(tmp_path / "threaded")
    threaded.add("python", "3.13.1", "h9a34b6e_5_cp313t")
    assert snapshot(threaded.path).site_packages == "lib/python3.13t/site-packages"
    told = SmallPrefix(tmp_path / "told")
    told.add("python", "3.9.1", "0_pypy", python_site_packages_path="lib/pypy3.9/site-packages")
    assert snapshot(told.path).site_packages == "lib/pypy3.9/site-packages"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"channel": "conda-forge/linux-64"}, f"{ALIAS}/conda-forge/linux-64/a-1.0-0.conda"),
        ({"channel": "conda-forge/linux-64", "subdir": None}, f"{ALIAS}/conda-forge/linux-64/a-1.0-0.conda"),
        ({"channel": "conda-forge/linux-64", "subdir": "noarch"}, f"{ALIAS}/conda-forge/noarch/a-1.0-0.conda"),
        ({"channel": "https://h/lab/osx-arm64/", "subdir": None}, "https://h/lab/osx-arm64/a-1.0-0.conda"),
        ({"channel": "https://h/lab", "subdir": "linux-64"}, "https://h/lab/linux-64/a-1.0-0.conda"),
        ({"channel": "https://me:pw@h/t/tk-1/lab/linux-64"}, "https://h/lab/linux-64/a-1.0-0.conda"),
        ({"channel": "/srv/my channel"}, "file:///srv/my%20channel/linux-64/a-1.0-0.conda"),
        ({"channel": "pkgs/r"}, "https://repo.anaconda.com/pkgs/r/linux-64/a-1.0-0.conda"),
        ({"channel": "defaults"}, "https://repo.anaconda.com/pkgs/main/linux-64/a-1.0-0.conda"),
        ({"channel": {"name": "lab", "scheme": "https", "location": "h"}}, "https://h/lab/linux-64/a-1.0-0.conda"),
        ({"channel": None, "schannel": "lab"}, f"{ALIAS}/lab/linux-64/a-1.0-0.conda"),
        ({"channel": None}, "file:///unknown/linux-64/a-1.0-0.conda"),
        ({"channel": "<unknown>/linux-64"}, "file:///unknown/linux-64/a-1.0-0.conda"),
        (
            {"channel": f"{ALIAS}/<unknown>", "url": f"{ALIAS}/<unknown>/linux-64/a.conda"},
            "file:///unknown/linux-64/a-1.0-0.conda",
        ),
        (
            {"channel": "lab", "subdir": None, "platform": "linux", "arch": "x86_64"},
            f"{ALIAS}/lab/linux-64/a-1.0-0.conda",
        ),
        ({"channel": "x", "subdir": None, "platform": "osx", "arch": "arm64"}, f"{ALIAS}/x/osx-arm64/a-1.0-0.conda"),
        ({"channel": "x", "subdir": None, "platform": "win32", "arch": "x86_64"}, f"{ALIAS}/x/win-64/a-1.0-0.conda"),
        ({"channel": "lab", "subdir": None, "noarch": "python"}, f"{ALIAS}/lab/noarch/a-1.0-0.conda"),
        (
            {"channel": "lab", "fn": None, "package_tarball_full_path": "/pkgs/a-1.0-0.tar.bz2"},
            f"{ALIAS}/lab/linux-64/a-1.0-0.tar.bz2",
        ),
    ],
)
@pytest.mark.parametrize("like", ["conda", "rattler"])
def test_the_url_of_a_record_without_url_has_one_subdir(
    like: Literal["conda", "rattler"], fields: dict[str, object], url: str, tmp_path: Path
) -> None:
    """conda's channel ends with the subdir, and py-rattler's does not. Old records lack the subdir or other fields."""
    made = SmallPrefix(tmp_path / "odd", like)
    made.add("a", **{"url": None, "noarch": None, **fields})
    (package,) = lock(snapshot(made.path)).conda
    assert package.url == url
    assert package.channel == url.rsplit("/", 2)[0]
    assert snapshot(made.path).channels == (package.channel,)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("missing", [["url"], ["url", "fn"], ["url", "subdir"], ["url", "fn", "subdir"]])
def test_records_of_other_systems_give_their_urls(path: Path, missing: list[str]) -> None:
    """rattler on macOS and micromamba on Windows wrote them. Each member may be missing."""
    raw = json.loads(path.read_bytes())
    kept = {key: value for key, value in raw.items() if key not in missing}
    if raw["channel"].endswith("/") and "subdir" in missing:  # rattler's channel has no subdir, and it names no system
        kept |= {"platform": "darwin", "arch": "arm64"}
    assert package_url(PrefixRecord.parse(kept, path)) == raw["url"]
    assert channel_url(PrefixRecord.parse(raw, path)) == "https://conda.anaconda.org/conda-forge"
