"""The inputs of a build: the lock file of an environment or of a file, for one platform."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LockfileError, NotReproducible, PrefixNotAllowed, SecretsFound, UsageError
from jupyter_condabuild.events import Event, Log, Warning
from jupyter_condabuild.planning.inputs import Inputs, _check_editable, read_inputs
from jupyter_condabuild.requests.job_context import open_job
from tests.parts.builds import install, of_public, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import build_request, plan_request
from tests.parts.small_prefix import SmallPrefix


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment with one package, which is for any platform."""
    channel = small_channel(tmp_path / "channel", [(Metadata("data", "1", noarch="generic"), [File("share/x", b"x")])])
    return install(tmp_path / "env", channel, "data")


@pytest.fixture
def lockfile(prefix: Path, tmp_path: Path) -> Path:
    """A lock file for two Linux platforms and for macOS."""
    platforms = ["linux-64", "linux-aarch64", "osx-arm64"]
    locked = lock(snapshot(prefix))
    packages = [{"conda": package.url, "sha256": package.sha256} for package in locked.conda]
    default = {"packages": {platform: [{"conda": package["conda"]} for package in packages] for platform in platforms}}
    path = tmp_path / "pixi.lock"
    path.write_text(json.dumps({"version": 6, "environments": {"default": default}, "packages": packages}))
    return path


def read(tmp_path: Path, **request: object) -> tuple[Inputs, list[str]]:
    """Returns the inputs of a request, and the log."""
    events: list[Event] = []
    asked = plan_request(store_dir=tmp_path / "store", **request)
    with open_job(asked, events.append) as job:
        return read_inputs(asked, job), [event.text for event in events if isinstance(event, Log)]


def test_the_log_names_the_chosen_platform(lockfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is for the processor of this platform."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    inputs, log = read(tmp_path, lockfile=lockfile)
    assert (inputs.lockfile.platform, inputs.architecture) == ("linux-64", "amd64")
    assert log == [f"{lockfile} is for linux-64, linux-aarch64, osx-arm64: linux-64 is used."]
    inputs, log = read(tmp_path, lockfile=lockfile, platform="linux-aarch64")
    assert (inputs.lockfile.platform, inputs.architecture) == ("linux-aarch64", "arm64")
    assert "linux-aarch64 is used" in log[0]
    with pytest.raises(LockfileError, match="container images need"):
        read(tmp_path, lockfile=lockfile, platform="osx-arm64")


def test_a_lock_file_for_one_platform_needs_no_log_line(prefix: Path, tmp_path: Path) -> None:
    """The log names no platform for a lock file of any Linux platform."""
    path = tmp_path / "conda-lock.yml"
    path.write_text(dump(replace(lock(snapshot(prefix)), platform="linux-aarch64")))
    inputs, log = read(tmp_path, lockfile=path)
    assert (inputs.architecture, log) == ("arm64", [])


def test_the_log_names_the_chosen_environment(lockfile: Path, tmp_path: Path) -> None:
    """A pixi.lock can have several. An environment of conda has no such choice."""
    value = json.loads(lockfile.read_text())
    value["environments"]["empty"] = {"packages": {"linux-64": []}}
    lockfile.write_text(json.dumps(value))
    inputs, log = read(tmp_path, lockfile=lockfile)
    assert len(inputs.lockfile.conda) == 1
    assert f"{lockfile} has the environments default, empty: default is used." in log
    inputs, log = read(tmp_path, lockfile=lockfile, environment="empty", platform="linux-64")
    assert inputs.lockfile.conda == ()
    assert f"{lockfile} has the environments default, empty: empty is used." in log


def test_categories_that_are_left_out_are_named(prefix: Path, tmp_path: Path) -> None:
    """The default choice is a warning, the user's own choice a line of the log."""
    text = dump(lock(snapshot(prefix)))
    path = tmp_path / "conda-lock.yml"
    path.write_text(text.replace("category: main", "category: docs"))
    events: list[Event] = []
    asked = plan_request(store_dir=tmp_path / "store", lockfile=path)
    with open_job(asked, events.append) as job:
        assert read_inputs(asked, job).lockfile.conda == ()
    (warning,) = (event for event in events if isinstance(event, Warning))
    assert (warning.code, "in the category docs are left out" in warning.message) == ("categories-left-out", True)
    inputs, log = read(tmp_path, lockfile=path, category=["docs"])
    assert (len(inputs.lockfile.conda), log) == (1, [])
    package = text[text.index("  - name: ") :]
    path.write_text(text + package.replace("category: main", "category: docs"))
    _, log = read(tmp_path, lockfile=path, category=["main"])
    assert log == [f"The packages of {path} in the category docs are left out."]


@pytest.mark.parametrize("option", [{"environment": "x"}, {"category": ["x"]}])
def test_an_environment_takes_no_option_of_a_lock_file(prefix: Path, option: dict[str, object]) -> None:
    """The message names the option."""
    with pytest.raises(UsageError, match=f"--{next(iter(option))} chooses from a lock file"):
        plan_request(prefix=prefix, **option)


def test_a_lock_file_without_hashes_is_taken_with_a_warning(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan has the hash of the archive. With --strict, the build ends. This is conda's own explicit format."""
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "cache"))
    (package,) = lock(snapshot(prefix)).conda
    path = tmp_path / "explicit.txt"
    path.write_text(f"# platform: linux-64\n@EXPLICIT\n{package.url}\n")
    inputs, _ = read(tmp_path, lockfile=path)
    assert inputs.lockfile.conda[0].sha256 == package.sha256
    assert [warning.code for warning in inputs.warnings if "no sha256" in warning.message] == ["conda-without-hash"]
    with pytest.raises(NotReproducible, match="no sha256 of 1 conda package: data"):
        read(tmp_path, lockfile=path, strict=True)
    path.write_text(f"# platform: linux-64\n@EXPLICIT\n{package.url}#{package.sha256}\n")
    with pytest.raises(NotReproducible, match="from a channel on this machine: data"):
        read(tmp_path, lockfile=path, strict=True)
    of_public(path, Channel(tmp_path / "channel"), tmp_path / "cache")
    assert read(tmp_path, lockfile=path, strict=True)[0].lockfile.conda[0].sha256 == package.sha256


def test_strict_refuses_pip_packages_without_hash(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The docker engine installs them from the index, which may have other files tomorrow."""
    path = tmp_path / "explicit.txt"
    path.write_text(dump(lock(snapshot(prefix)), "explicit"))
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "cache"))
    head = of_public(path, Channel(tmp_path / "channel"), tmp_path / "cache").read_text()
    path.write_text(f"{head}# pip tiny @ https://h/tiny-1.0-py3-none-any.whl\n")
    with pytest.raises(NotReproducible, match="no hash of 1 pip package: tiny"):
        read(tmp_path, lockfile=path, engine="docker", strict=True)
    path.write_text(f"{head}# pip tiny @ https://h/tiny-1.0-py3-none-any.whl#sha256={'ab' * 32}\n")
    assert read(tmp_path, lockfile=path, engine="docker", strict=True)[0].lockfile.pip[0].name == "tiny"
    with pytest.raises(LockfileError, match=r"has pip packages \(tiny\)"):
        read(tmp_path, lockfile=path, engine="layers")


def test_an_environment_cannot_be_solved_for_every_platform(prefix: Path, tmp_path: Path) -> None:
    """Another platform than its own must be one of Linux; the message names them."""
    assert read(tmp_path, prefix=prefix, platform="linux-64")[0].architecture == "amd64"
    with pytest.raises(UsageError, match="cannot be solved for 'osx-arm64'") as failed:
        read(tmp_path, prefix=prefix, platform="osx-arm64")
    assert "linux-aarch64" in failed.value.hint


@pytest.mark.parametrize("engine", ["layers", "docker"])
def test_a_secret_ends_a_build_and_is_a_warning_of_a_plan(prefix: Path, tmp_path: Path, engine: str) -> None:
    """The build ends before a registry is read and before anything is written, with both engines."""
    (prefix / "share/key.pem").write_text("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n")
    named = f"{prefix}/share/key.pem:1 (Private Key)"
    inputs, _ = read(tmp_path, prefix=prefix, engine=engine)
    assert [named in warning.message for warning in inputs.warnings if warning.code == "secrets-found"] == [True]
    asked = build_request(prefix=prefix, engine=engine, archive=tmp_path / "x.tar", store_dir=tmp_path / "store")
    events: list[Event] = []
    with open_job(asked, events.append) as job, pytest.raises(SecretsFound) as failure:
        read_inputs(asked, job)
    assert named in failure.value.message
    assert "MIIE" not in f"{failure.value.message}{failure.value.hint}{events}"
    assert "secrets-found" not in [event.code for event in events if isinstance(event, Warning)]
    allowed = replace(asked, allow_secret=("share/key.pem",))
    with open_job(allowed, events.append) as job:
        assert read_inputs(allowed, job).own.findings == ()


def test_warnings_of_an_environment_without_changes_are_said(prefix: Path, tmp_path: Path) -> None:
    """No file is modified, missing or of no package, but a file of a package has other permissions in the image."""
    (prefix / "share/x").chmod(0o600)
    assert "file-modes" in [item.code for item in read(tmp_path, prefix=prefix)[0].warnings]


def test_a_file_is_said_to_be_copied_or_to_be_left_out(prefix: Path, tmp_path: Path) -> None:
    """Each file has one warning, the one that is true."""
    private, shared = prefix / "share/own.txt", prefix / "share/notes.txt"
    for file in (private, shared):
        file.write_text("mine")
    private.chmod(0o600)

    def said(**more: object) -> dict[str, str]:
        return {item.code: item.message for item in read(tmp_path, prefix=prefix, **more)[0].warnings}

    warnings = said()
    assert "1 file (4 B): share/notes.txt." in warnings["untracked-files"]
    assert f"1 file for credentials is not in the image: {private}." in warnings["credentials-left-out"]
    allowed = said(allow_secret=["share/own.txt"])
    assert "2 files (8 B): share/notes.txt, share/own.txt." in allowed["untracked-files"]
    assert "credentials-left-out" not in allowed
    shared.unlink()
    assert "untracked-files" not in said()


@pytest.mark.parametrize(
    ("reference", "code"),
    [("registry.lab.org/x:1", "private-packages"), ("me/x:1", "private-packages-made-public"), (None, None)],
)
def test_packages_that_need_a_login_are_named_before_an_image_goes_to_a_registry(
    prefix: Path, tmp_path: Path, reference: str | None, code: str | None
) -> None:
    """The message is stronger if everybody can read the repository."""
    (record,) = (prefix / "conda-meta").glob("data-*.json")
    value = json.loads(record.read_bytes())
    record.write_text(json.dumps(value | {"url": f"https://lab.org/t/<TOKEN>/noarch/{value['fn']}"}))
    inputs, _ = read(tmp_path, prefix=prefix, reference=reference)
    found = {warning.code: warning.message for warning in inputs.warnings if warning.code.startswith("private")}
    assert list(found) == ([code] if code else [])
    assert all("data-1-0" in message for message in found.values())
    assert inputs.private == {"data-1-0"}


def test_an_editable_install_brings_only_allowed_folders(tmp_path: Path) -> None:
    """An environment can name any folder as the source. allow_prefixes limits this folder, also through links."""
    made = SmallPrefix(tmp_path / "lab" / "env")
    made.python()
    outside = tmp_path / "private"
    outside.mkdir()
    (tmp_path / "lab" / "link").symlink_to(outside)
    for source in (outside, tmp_path / "lab" / "link", tmp_path / "lab" / ".." / "private"):
        made.pip("mine", direct_url={"url": source.as_uri(), "dir_info": {"editable": True}})
        environment = snapshot(made.path)
        _check_editable(environment, ())
        _check_editable(environment, [str(tmp_path)])
        with pytest.raises(PrefixNotAllowed, match="mine has its source in"):
            _check_editable(environment, [str(tmp_path / "lab")])
