"""jupyter condabuild: the output of each command, its stream, and its exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from jupyter_condabuild.cli import parser
from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.oci.image import Manifest, Reference
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.settings import Settings
from tests.parts.command_line import LIMIT, CommandLine


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """The command line with an empty store."""
    return CommandLine(tmp_path)


def manifest_of(reference: str) -> Manifest:
    """Returns the manifest of a tag."""
    name = Reference.parse(reference)
    with open_registry(name) as registry:
        found = registry.repository(name.repository).manifest(name.target)
    assert isinstance(found, Manifest)
    return found


@pytest.mark.parametrize("format", ["conda-lock", "explicit", "pixi"])
def test_lock_prints_the_lock_file_and_reports_on_standard_error(
    run: CommandLine, rattler_prefix: Path, format: str
) -> None:
    """Only the lock file is on standard output. Packages, channels and warnings are on standard error."""
    done = run("lock", rattler_prefix, "--format", format)
    assert done.status == 0
    locked = load(done.out)
    assert {"python", "requests", "tqdm"} <= {package.name for package in locked.conda}
    assert f"{len(locked.conda)} conda packages" in done.err
    assert "127.0.0.1" in done.err
    assert "sha256:" in done.err


def test_lock_writes_a_complete_file_or_no_file(run: CommandLine, rattler_prefix: Path) -> None:
    """-o replaces the file at the end. If the folder does not exist, the command fails and leaves no file."""
    file = run.folder / "conda-lock.yml"
    assert run("lock", rattler_prefix, "-o", file).status == 0
    assert load(file).python
    done = run("lock", rattler_prefix, "-o", run.folder / "no/such/folder/conda-lock.yml")
    assert done.status == 1
    assert "no/such/folder" in done.err
    assert sorted(path.name for path in run.folder.iterdir() if path.is_file()) == ["conda-lock.yml"]


def test_lock_as_json_contains_digest_and_drift(run: CommandLine, rattler_prefix: Path) -> None:
    """--json prints the report and the lock file for programs."""
    found = run("lock", rattler_prefix, "--json").json
    assert found["digest"].startswith("sha256:")
    assert found["untracked"] == found["modified"] == found["missing"] == []
    assert load(found["lockfile"]).digest == found["digest"]


def test_the_active_environment_is_the_default(run: CommandLine, rattler_prefix: Path) -> None:
    """Without PREFIX, CONDA_PREFIX is used. Without both, the error says which argument is missing."""
    assert run("lock", environ={"CONDA_PREFIX": str(rattler_prefix)}).status == 0
    done = run("lock")
    assert done.status == 2
    assert "PREFIX" in done.err


def test_plan_builds_nothing_and_counts_existing_layers(
    run: CommandLine, rattler_prefix: Path, registry: str, base_reference: str
) -> None:
    """Before a push, all packages must be built. After the push, no package must be built."""
    image = f"{registry}/cli/plan:1"
    given = ("plan", rattler_prefix, "-t", image, "--base", base_reference)
    before = run(*given, "--json").json
    packages = [layer for layer in before["layers"] if layer["kind"] == "package"]
    assert {layer["state"] for layer in packages} == {"built and uploaded"}
    assert before["packages_changed"] == before["packages"]
    assert not any((run.store / "layers").iterdir())
    assert run("build", rattler_prefix, "-t", image, "--push", "--base", base_reference).status == 0
    after = run(*given)
    assert f"0 of {before['packages']} packages are in layers that change" in after.out
    assert before["bytes_to_push"] == pytest.approx(
        sum(layer.size for layer in manifest_of(image).layers if layer.annotations), rel=0.1
    )


def test_build_prints_its_result_for_people_and_programs(
    run: CommandLine, rattler_prefix: Path, registry: str, base_reference: str
) -> None:
    """The printed digest is the digest in the registry. --json and --events contain the same result."""
    image = f"{registry}/cli/build:1"
    arguments = ("build", rattler_prefix, "-t", image, "--push", "--base", base_reference)
    done = run(*arguments)
    digest = str(manifest_of(image).descriptor.digest)
    assert done.status == 0
    assert done.out == ""
    assert image in done.err
    command = ["docker run --rm -it \\", '-v "$PWD":/work \\', '-u "$(id -u):$(id -g)" \\', image]
    printed = [line.strip() for line in done.err.splitlines()]
    assert printed[printed.index(command[0]) :][:4] == command
    assert digest in done.err
    assert run(*arguments, "--json").json["digest"] == digest
    events = run(*arguments, "--events", "jsonl").events
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "finished"
    assert events[-1]["digest"] == digest
    assert events[-1]["bytes_pushed"] == 0
    assert [event for event in events if event["type"] in ("failed", "cancelled")] == []


def test_a_request_on_standard_input_gives_the_same_build(
    run: CommandLine, rattler_prefix: Path, base_archive: Path
) -> None:
    """--request - reads the JSON that a server sends to the process of a build."""
    request = {
        "prefix": str(rattler_prefix),
        "archive": str(run.folder / "a.tar"),
        "base": f"oci-archive:{base_archive}",
        "store_dir": str(run.store),
    }
    first = run("build", "--request", "-", "--json", input=json.dumps(request))
    second = run("build", rattler_prefix, "-o", "b.tar", "--base", f"oci-archive:{base_archive}", "--json")
    assert first.json["digest"] == second.json["digest"]
    assert (run.folder / "a.tar").read_bytes() == (run.folder / "b.tar").read_bytes()
    assert run("build", "--request", "-", input="{").status == 2
    wrong = run("build", "--request", "-", input='{"prefix": "/x", "push": "yes"}')
    assert wrong.status == 2
    assert "push" in wrong.err


def test_a_build_from_a_lock_file_equals_a_build_from_its_prefix(
    run: CommandLine, rattler_prefix: Path, registry: str, base_reference: str
) -> None:
    """If the prefix has no other files, the lock file gives the same image with the same bytes.

    So another machine that has the lock file sends nothing, not even the configuration of the image.
    """
    run("lock", rattler_prefix, "-o", "conda-lock.yml")
    image = f"{registry}/cli/lockfile"
    push = ("--push", "--base", base_reference, "--json")
    one = run("build", rattler_prefix, "-t", f"{image}:0", *push)
    elsewhere = {"CONDABUILD_STORE_DIR": str(run.folder / "elsewhere")}
    cached = ("--cache-from", f"{image}:0")
    other = run("build", "--lockfile", "conda-lock.yml", "-t", f"{image}:1", *push, *cached, environ=elsewhere)
    assert (one.status, other.status) == (0, 0), one.err + other.err
    assert one.json["digest"] == other.json["digest"]
    assert one.json["bytes_pushed"] > 0
    assert other.json["bytes_pushed"] == 0


def test_a_lock_file_is_written_in_another_format(run: CommandLine, rattler_prefix: Path) -> None:
    """The packages stay the same, also after a way through all formats. The options of an environment are refused."""
    made = run("lock", rattler_prefix, "-o", "conda-lock.yml", "--json").json
    for source, target in (("conda-lock.yml", "pixi"), ("pixi", "explicit"), ("explicit", "conda-lock")):
        done = run("lock", "--lockfile", source, "--format", target, "-o", target, "--json")
        assert done.status == 0, done.err
        assert done.json["conda"] == made["conda"]
        assert "channel on this machine" in done.err
    before, after = ((run.folder / name).read_text() for name in ("conda-lock.yml", "conda-lock"))
    assert [line for line in after.splitlines() if "url:" in line] == [
        line for line in before.splitlines() if "url:" in line
    ]
    for wrong, said in (
        (("lock", "pixi"), "pixi is a file, not the folder of an environment"),
        (("lock", "--lockfile", "pixi", "--pip-hashes"), "--pip-hashes is for an environment"),
        (("lock", rattler_prefix, "--category", "dev"), "--category is for a lock file"),
        (("lock", rattler_prefix, "--lockfile", "pixi"), "Give only one of them"),
    ):
        refused = run(*wrong)
        assert (refused.status, said in refused.err) == (2, True), refused.err


def test_both_kinds_of_archive_are_written(run: CommandLine, rattler_prefix: Path, base_archive: Path) -> None:
    """-o FILE is an OCI archive. -o docker-archive:FILE is the older format."""
    base = ("--base", f"oci-archive:{base_archive}")
    assert run("build", rattler_prefix, "-o", "x.tar", *base).status == 0
    assert run("build", rattler_prefix, "-t", "x:1", "-o", "docker-archive:y.tar", *base).status == 0
    with tarfile.open(run.folder / "x.tar") as tar:
        assert "oci-layout" in tar.getnames()
    with tarfile.open(run.folder / "y.tar") as tar:
        assert "oci-layout" not in tar.getnames()
        assert "manifest.json" in tar.getnames()


def test_ctrl_c_ends_a_build_at_once_and_leaves_no_partial_file(
    run: CommandLine, rattler_prefix: Path, base_archive: Path
) -> None:
    """After SIGINT, the status is 130 with a `cancelled` event.

    No archive and no worker is left, and the next build works.
    """
    arguments = ("build", rattler_prefix, "-o", "x.tar", "--base", f"oci-archive:{base_archive}")
    process = run.start(*arguments, "--events", "jsonl", held=['"name": "link"'])
    assert process.stdout
    for line in process.stdout:
        if json.loads(line).get("name") == "link":
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, errors
    assert json.loads(rest.splitlines()[-1])["type"] == "cancelled"
    assert "Traceback" not in errors
    assert not list(run.folder.glob("*.tar*"))
    assert not list(run.folder.glob(".*.tar*"))
    writers = subprocess.run(["pgrep", "-f", str(run.store)], capture_output=True, text=True).stdout
    assert writers == ""
    assert run(*arguments).status == 0
    assert not any((run.store / "tmp").iterdir())


def test_prune_empties_the_store_and_reports_the_freed_bytes(
    run: CommandLine, rattler_prefix: Path, base_archive: Path
) -> None:
    """--keep-bytes 0 leaves no blob. The next build makes the blobs again."""
    run("build", rattler_prefix, "-o", "x.tar", "--base", f"oci-archive:{base_archive}")
    blobs = run.store / "blobs/sha256"
    held = sum(blob.stat().st_size for blob in blobs.iterdir())
    assert run("prune", "--keep-bytes", "0", "--json").json == {"freed": held, "left": 0}
    assert not any(blobs.iterdir())
    assert run("build", rattler_prefix, "-o", "x.tar", "--base", f"oci-archive:{base_archive}").status == 0


def test_wrong_usage_ends_with_status_2(run: CommandLine, rattler_prefix: Path) -> None:
    """Examples are a build without a destination, an unknown option, and a prefix together with a lock file."""
    for arguments in (
        ("build", rattler_prefix),
        ("build", rattler_prefix, "--push"),
        ("build", rattler_prefix, "--lockfile", "x", "-o", "x.tar"),
        ("build", rattler_prefix, "--no-such-option"),
        ("build", rattler_prefix, "-o", "x.tar", "--include", "no-such-folder"),
    ):
        assert run(*arguments).status == 2, arguments
    done = run("check", "registry.lab.org/team/env:v1", "analysis.ipynb")
    assert (done.status, "unrecognized arguments: analysis.ipynb" in done.err) == (2, True)
    assert done.err.startswith("usage: jupyter condabuild check ")
    done = run("recreate", rattler_prefix, "registry.lab.org/team/env:v1")
    assert (done.status, "The image comes first" in done.err) == (2, True)


def test_settings_come_from_configuration_and_environment(run: CommandLine, rattler_prefix: Path) -> None:
    """The values of a configuration file are used. Variables have priority, and wrong values are named."""
    config = run.folder / "config"
    config.mkdir()
    (config / "jupyter_condabuild_config.py").write_text("c.CondaBuild.layer_budget = 5\n")
    environ = {"JUPYTER_CONFIG_DIR": str(config)}

    def layers() -> int:
        planned = run("plan", rattler_prefix, "--json", environ=environ).json["layers"]
        return sum(layer["kind"] == "package" for layer in planned)

    assert layers() <= 5
    environ["CONDABUILD_LAYER_BUDGET"] = "90"
    assert layers() > 5
    environ["CONDABUILD_LAYER_BUDGET"] = "many"
    done = run("plan", rattler_prefix, environ=environ)
    assert done.status == 2
    assert "CONDABUILD_LAYER_BUDGET" in done.err


@pytest.mark.parametrize("name", ["store_dir", "state_dir", "signing_key", "trusted_signers"])
def test_a_path_in_a_setting_may_begin_with_the_home_folder(name: str) -> None:
    """No shell expands ``~`` in a configuration file, so the setting expands it."""
    home = os.environ["HOME"]
    settings = Settings(**{name: "~/a"}).with_environment({})
    assert getattr(settings, name) == f"{home}/a"
    settings = Settings().with_environment({f"CONDABUILD_{name.upper()}": "~/b"})
    assert getattr(settings, name) == f"{home}/b"


def test_help_describes_each_command(run: CommandLine) -> None:
    """--help of every command shows its options, and loads no large module."""
    for command in ("lock", "plan", "build", "rebase", "prune"):
        assert "--json" in run(command, "--help").out
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "jupyter_condabuild", "--help"], capture_output=True, text=True
    ).stderr
    for heavy in ("rattler", "httpx", "docker", "yaml", "asyncio", "traitlets"):
        assert f"| {heavy}\n" not in loaded
        assert f" {heavy}\n" not in loaded
    assert parser().prog == "jupyter condabuild"


def test_help_says_what_each_command_does() -> None:
    """The descriptions are for users: each begins with a verb. They have no marks of docstrings."""
    (commands,) = parser()._subparsers._group_actions  # type: ignore[union-attr]
    found = dict(commands.choices)  # type: ignore[arg-type]
    (actions,) = found["kernel"]._subparsers._group_actions
    for name, command in {**found, **actions.choices}.items():
        assert re.fullmatch(r"[A-Z][a-z]+s .*\.", command.description.strip(), re.DOTALL), name
        assert "``" not in command.format_help(), name


def test_a_closed_pipe_is_no_error(run: CommandLine, rattler_prefix: Path) -> None:
    """`jupyter condabuild lock | head -1` prints a line and no traceback."""
    line = f"{' '.join(run.command('lock', rattler_prefix))} 2>err | head -1"
    done = subprocess.run(["bash", "-c", line], env=run.environ, capture_output=True, text=True, cwd=run.folder)
    assert done.stdout.startswith("version: 1") or done.stdout
    assert "Traceback" not in (run.folder / "err").read_text()


def test_output_without_a_terminal_is_plain(run: CommandLine, rattler_prefix: Path, base_archive: Path) -> None:
    """Without a terminal there are lines and no control characters."""
    done = run("build", rattler_prefix, "-o", "x.tar", "--base", f"oci-archive:{base_archive}")
    assert "\x1b" not in done.err
    assert "\r" not in done.err
    assert os.path.getsize(run.folder / "x.tar") > 1_000_000


def test_what_the_shell_adds_to_the_search_path_is_said(run: CommandLine, rattler_prefix: Path, tmp_path: Path) -> None:
    """The variables are those of the command. With --strict, the build ends before it makes a layer."""
    extra = tmp_path / "extra"
    extra.mkdir()
    environ = {"PYTHONPATH": f"{run.environ.get('PYTHONPATH', '')}:{extra}"}
    done = run("plan", rattler_prefix, environ=environ)
    assert f"Python imports from {extra} (PYTHONPATH)" in done.err
    locked = run("lock", rattler_prefix, "-o", tmp_path / "lock.yml", environ=environ)
    assert f"Python imports from {extra} (PYTHONPATH)" in locked.err
    assert "--include-outside" not in locked.err
    refused = run("build", rattler_prefix, "-o", tmp_path / "x.tar", "--strict", environ=environ)
    assert (refused.status, str(extra) in refused.err) == (1, True)
    accepted = run("plan", rattler_prefix, "--without-outside", extra, environ=environ)
    assert (accepted.status, str(extra) in accepted.err) == (0, False)
