"""The command line's output for an environment with odd file names and with many local packages."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path

import pytest

from jupyter_condabuild.commands.output import print_result
from tests.parts.builds import install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine

ODD = "share/odd\udcff"
"""The name of a file, as Python decodes it, with a byte that is not UTF-8."""

FOREIGN = "share/grün"
"""The name of a file with a letter that some terminals cannot display."""

ASCII = {"PYTHONIOENCODING": "ascii"}

COMMANDS = {
    "lock": ["lock", "ENV"],
    "plan": ["plan", "ENV"],
    "build": ["build", "ENV", "-o", "grün.tar", "--base", "BASE"],
    "diff": ["diff", "ENV", "OTHER"],
    "licenses": ["licenses", "ENV"],
    "export": ["export", "dockerfile", "ENV", "-o", "OUT", "--force"],
    "export a pipeline": ["export", "github-actions", "ENV", "-t", "registry.lab.org/a/b:1", "-o", "OUT", "--force"],
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An environment with thirty packages of a local channel, and the same environment before a change."""
    folder = tmp_path_factory.mktemp("odd")
    names = [f"package{number}" for number in range(30)]
    packages = [(Metadata(name, "1", noarch="generic"), [File(f"share/{name}", b"x")]) for name in names]
    channel = small_channel(folder / "channel", packages)
    made = install(folder / "env", channel, *names)
    other = install(folder / "other", channel, *names[1:])
    for name in names:
        (made / "share" / name).write_text("changed")
    for name in (ODD, FOREIGN):
        (made / name).write_text("")
    return {"ENV": made, "OTHER": other, "OUT": folder / "aus für alle"}


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """The command line with an empty store."""
    return CommandLine(tmp_path)


def words(command: str, places: dict[str, Path], base: Path) -> list[str]:
    """Returns the arguments of a command, with its paths."""
    known = {**{name: str(path) for name, path in places.items()}, "BASE": f"oci-archive:{base}"}
    return [known.get(word, word) for word in COMMANDS[command]]


@pytest.mark.parametrize("encoding", [{}, ASCII], ids=["utf-8", "ascii"])
@pytest.mark.parametrize("command", COMMANDS)
def test_json_contains_any_file_name(
    run: CommandLine, places: dict[str, Path], base_archive: Path, command: str, encoding: dict[str, str]
) -> None:
    """The name is escaped as in JSON, for any encoding of standard output. The same is so for events."""
    done = run(*words(command, places, base_archive), "--json", environ=encoding)
    assert done.status == 0, done.err
    if command == "lock":
        assert set(done.json["untracked"]) == {ODD, FOREIGN}
    done = run(*words(command, places, base_archive), "--json", "--events", "jsonl", environ=encoding)
    assert done.status == 0, done.err
    assert [type(json.loads(line)) for line in done.out.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_text_contains_any_file_name(
    run: CommandLine, places: dict[str, Path], base_archive: Path, command: str
) -> None:
    """A character that the terminal lacks is escaped."""
    done = run(*words(command, places, base_archive), environ=ASCII)
    assert done.status == 0, done.err
    if command == "lock":
        assert r"share/odd\udcff" in done.err


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"diff", "licenses"}))
def test_a_warning_is_short_and_comes_once(
    run: CommandLine, places: dict[str, Path], base_archive: Path, command: str
) -> None:
    """The warning names ten of the packages or files, and the number of the others."""
    lines = run(*words(command, places, base_archive)).err.splitlines()
    warnings = [line for line in lines if line.startswith("  - ")]
    assert warnings
    assert len(warnings) == len(set(warnings))
    assert [line for line in warnings if line.count(", ") > 10] == []  # one comma may belong to the sentence
    assert any("and 20 more" in line for line in warnings)


def test_all_names_are_in_json(run: CommandLine, places: dict[str, Path]) -> None:
    """Programs find each name there."""
    found = run("lock", places["ENV"], "--json").json
    assert len(found["modified"]) == 30
    assert os.fsencode(ODD) in map(os.fsencode, found["untracked"])


HOSTILE = "num\x1b[2Jpy\x9b31m\x7f\u202e"


def test_names_from_other_people_send_no_control_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    """In text, the sequences are removed. In JSON, they are escapes with the same value."""

    class Named:
        """A result with a name from an image."""

        def summary(self) -> dict[str, str]:
            return {"name": HOSTILE}

        def text(self) -> str:
            return f"one\n  {HOSTILE}"

    for json_wanted in (False, True):
        print_result(Named(), Namespace(json=json_wanted, events=None))
        shown = capsys.readouterr().out
        assert not set(shown) & set("\x1b\x9b\x7f\u202e")
        assert json.loads(shown) == {"name": HOSTILE} if json_wanted else shown.startswith("one\n  numpy")
