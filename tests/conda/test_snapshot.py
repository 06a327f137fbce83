"""An environment is read from its own files, whoever made it, and what cannot be trusted in them is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.history import spec_name
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import BrokenRecord, NotAPrefix
from tests.parts.small_prefix import CHANNEL, SITE, SmallPrefix, specs_line


@pytest.fixture
def small(tmp_path: Path) -> SmallPrefix:
    """A prefix with Python and numpy."""
    made = SmallPrefix(tmp_path / "envs" / "demo")
    made.python()
    made.add("numpy", "1.26.4", "py311_0", depends=["python >=3.11"])
    return made


def codes(environment: Environment) -> list[str]:
    return [warning.code for warning in environment.warnings]


def test_conda_and_rattler_prefixes_of_the_same_packages_read_the_same(
    conda_prefix: Path, rattler_prefix: Path
) -> None:
    """Names, builds, hashes, requested specs and channel agree, though the two write different records."""
    conda, rattler = snapshot(conda_prefix), snapshot(rattler_prefix)
    assert [(record.dist, record.sha256, record.subdir) for record in conda.records] == [
        (record.dist, record.sha256, record.subdir) for record in rattler.records
    ]
    assert [spec_name(spec) for spec in conda.requested] == [spec_name(spec) for spec in rattler.requested]
    assert {"python", "requests", "changing=1.0"} < set(conda.requested)
    assert conda.channels == rattler.channels
    assert conda.platform == rattler.platform == "linux-64"
    assert (conda.pip, conda.warnings) == (rattler.pip, rattler.warnings) == ((), ())


def test_the_paths_of_both_kinds_lie_in_the_prefix(conda_prefix: Path, rattler_prefix: Path) -> None:
    """conda's records name noarch files without their place; both are resolved to files that exist."""
    for prefix in (conda_prefix, rattler_prefix):
        paths = [entry.path for record in snapshot(prefix).records for entry in record.paths]
        assert len(paths) > 1000
        assert [path for path in paths if not os.path.lexists(prefix / path)] == []


def test_what_conda_itself_wrote_is_read() -> None:
    """The sample of a real conda's metadata, where the project has one."""
    sample = Path(__file__).parents[1] / "samples" / "demo"
    environment = snapshot(sample)
    assert environment.requested == ("python", "requests", "tqdm")
    assert len(environment.records) == 7


def test_importing_and_reading_needs_no_rattler() -> None:
    """Its 80 MB are loaded by what links packages, not by what looks at an environment."""
    modules = ", ".join(
        f"jupyter_condabuild.conda.{name}" for name in ("prefix.snapshot", "prefix.drift", "lockfile", "prefix.kernel")
    )
    code = f"import sys, {modules}; sys.exit('rattler' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_history_and_records_together_say_what_was_requested(small: SmallPrefix) -> None:
    """The history's latest word counts; records speak for packages that it does not name; what is gone is gone."""
    small.add("scipy", requested_spec="scipy >=1.11", requested_specs=["scipy", "scipy >=1.11"])
    small.history(
        specs_line(["numpy=1.25", "gone"]), specs_line(["numpy=1.26", "https://me:pw@h/t/tk-1/lab::python=3.11"])
    )
    assert snapshot(small.path).requested == ("numpy=1.26", "https://h/lab::python=3.11", "scipy >=1.11")


def test_channels_are_in_order_of_priority(small: SmallPrefix) -> None:
    """What the latest command named comes first, by name or URL; the others by their number of packages."""
    for number in range(3):
        small.add(
            f"many-{number}", url=f"https://conda.example.org/many/noarch/many-{number}-1.0-0.conda", subdir="noarch"
        )
    small.history("# cmd: conda install -c https://me:pw@conda.example.org/lab/ -c unused many-0")
    assert snapshot(small.path).channels == (CHANNEL, "https://conda.example.org/many")
    small.history("# cmd: conda install -c many many-0")
    assert snapshot(small.path).channels == ("https://conda.example.org/many", CHANNEL)


def test_state_is_kept_and_never_shown(small: SmallPrefix) -> None:
    """Variables may be secrets: their names are said, their values are in no repr and no warning."""
    state = {"version": 1, "env_vars": {"HF_TOKEN": "s3cret", "OFF": "***unset***"}}
    (small.path / "conda-meta/state").write_text(json.dumps(state))
    environment = snapshot(small.path)
    assert environment.variables == {"HF_TOKEN": "s3cret"}
    assert codes(environment) == ["variables"]
    assert "HF_TOKEN" in environment.warnings[0].message
    assert "s3cret" not in repr(environment)


def test_frozen_and_pinned_are_kept(small: SmallPrefix) -> None:
    """A frozen environment says so with its message, or without one where the file is empty."""
    (small.path / "conda-meta/pinned").write_text("numpy 1.26.*  # for the paper\n\n# no more\n")
    (small.path / "conda-meta/frozen").touch()
    environment = snapshot(small.path)
    assert (environment.pinned, environment.frozen) == (("numpy 1.26.*",), "")
    (small.path / "conda-meta/frozen").write_text('{"message": "Ask https://me:pw@h/ first"}')
    environment = snapshot(small.path)
    assert environment.frozen == "Ask https://h/ first"
    assert codes(environment) == ["frozen"]


def test_credentials_of_records_stay_in_the_records(small: SmallPrefix) -> None:
    """Neither repr nor channels nor warnings show them."""
    subdir = "https://me:s3cret@conda.example.org/t/tk-s3cret/lab/noarch"
    small.add("private", url=f"{subdir}/private-1.0-0.conda", subdir="noarch", channel=subdir, sha256=None)
    environment = snapshot(small.path)
    assert environment.channels == (CHANNEL,)
    assert codes(environment) == ["conda-without-hash"]
    assert "s3cret" not in repr(environment)


def test_an_environment_has_a_name(small: SmallPrefix, tmp_path: Path) -> None:
    """Its folder's; pixi's default environment goes by its project; the base environment is called base."""
    assert snapshot(small.path).name == "demo"
    project = SmallPrefix(tmp_path / "paper/.pixi/envs/default")
    project.add("x")
    assert snapshot(project.path).name == "paper"
    other = SmallPrefix(tmp_path / "paper/.pixi/envs/gpu")
    other.add("x")
    assert snapshot(other.path).name == "paper-gpu"
    (small.path / "condabin").mkdir()
    assert snapshot(small.path).name == "base"


def test_an_interrupted_update_is_said(small: SmallPrefix) -> None:
    """Two records of one package: the newer one counts, the other is named."""
    old = small.add("scipy", "1.0")
    small.add("scipy", "2.0")
    os.utime(old, (1.7e9, 1.7e9))
    environment = snapshot(small.path)
    assert [record.version for record in environment.records if record.name == "scipy"] == ["2.0"]
    assert codes(environment) == ["superseded-record"]
    assert "scipy-1.0-0" in environment.warnings[0].message


def test_no_prefix_is_refused(tmp_path: Path) -> None:
    """A missing folder, one without conda-meta, an empty conda-meta and a file: each is named, with a hint."""
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
        b'{"name": "x", "version": "1", "build": "0", "url": 5}',
        b'{"name": "x", "version": "1", "build": "0", "depends": 5}',
    ],
)
def test_a_broken_record_is_refused(small: SmallPrefix, content: bytes) -> None:
    """Half-written, incomplete or leading out of the prefix: the file is named, with a hint."""
    (small.path / "conda-meta/x-1-0.json").write_bytes(content)
    with pytest.raises(BrokenRecord, match=r"conda-meta/x-1-0\.json") as caught:
        snapshot(small.path)
    assert caught.value.hint


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ""])
def test_paths_data_that_leads_out_is_refused(small: SmallPrefix, path: str) -> None:
    """Also where only paths_data, not the list of files, has the path."""
    small.add("x", files={"share/x": b""}, paths_data={"paths": [{"_path": path}]})
    with pytest.raises(BrokenRecord):
        snapshot(small.path)


def test_other_files_in_conda_meta_are_no_records(small: SmallPrefix) -> None:
    """Editors' and file systems' leftovers are passed over; a broken history or state is as good as none."""
    for name in ("._numpy-1.26.4-py311_0.json", "numpy.json~", "pixi"):
        (small.path / "conda-meta" / name).write_bytes(b"\xff")
    for name in ("history", "state", "pinned"):
        (small.path / "conda-meta" / name).write_bytes(b"\xff{\0")
    assert len(snapshot(small.path).records) == 2


def test_a_moved_prefix_reads_the_same(small: SmallPrefix, tmp_path: Path) -> None:
    """Nothing of a snapshot but the prefix depends on where it lies."""
    before = snapshot(small.path)
    shutil.copytree(small.path, tmp_path / "elsewhere" / "demo", symlinks=True)
    after = snapshot(tmp_path / "elsewhere" / "demo")
    assert [record.raw for record in after.records] == [record.raw for record in before.records]
    assert (after.requested, after.channels, after.warnings) == (before.requested, before.channels, before.warnings)


def test_site_packages_is_where_python_looks(small: SmallPrefix, tmp_path: Path) -> None:
    """From the record where it says, else from the version; a free-threaded Python has a folder of its own."""
    assert snapshot(small.path).site_packages == SITE
    threaded = SmallPrefix(tmp_path / "threaded")
    threaded.add("python", "3.13.1", "h9a34b6e_5_cp313t")
    assert snapshot(threaded.path).site_packages == "lib/python3.13t/site-packages"
    told = SmallPrefix(tmp_path / "told")
    told.add("python", "3.9.1", "0_pypy", python_site_packages_path="lib/pypy3.9/site-packages")
    assert snapshot(told.path).site_packages == "lib/pypy3.9/site-packages"
