"""Scripts of entry points are compared with the scripts that installers write: conda's records have no hash of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.conda.linking import entry_points
from jupyter_condabuild.conda.prefix.drift import drift
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from tests.parts.channel.entry_points import script
from tests.parts.small_prefix import SITE, SmallPrefix

INDENTS = {"conda and micromamba": "    ", "rattler": "\t"}
LONG = "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\" #'''\n"


@pytest.fixture
def prefix(tmp_path: Path) -> SmallPrefix:
    """Python alone."""
    made = SmallPrefix(tmp_path / "envs/demo")
    made.python()
    return made


def changed(prefix: SmallPrefix) -> list[str]:
    """Returns the paths that drift reports as modified."""
    return [entry.path for entry in drift(snapshot(prefix.path)).modified]


@pytest.mark.parametrize("indent", INDENTS.values(), ids=INDENTS)
def test_the_script_of_an_installer_is_unchanged(prefix: SmallPrefix, indent: str) -> None:
    """Each installer has its own indentation, and another first line if the path is long or has spaces."""
    tool = prefix.entry_point(prefix.add("tool", noarch="python"), "tool", "tool.cli:main.run", indent)
    assert changed(prefix) == []
    python = prefix.path / "bin/python3.11"
    tool.write_text(LONG.format(python=python) + tool.read_text().partition("\n")[2])
    assert changed(prefix) == []


EDITS = {
    "another line": ("import sys\n", "import sys\nimport os\n"),
    "another module of the same length": ("from tool.cli", "from evil.cli"),
    "another function of the same length": ("(main())", "(evil())"),
    "another interpreter": ("#!{prefix}/bin/python", "#!/usr/bin/python"),
    "an option of the interpreter": ("/bin/python", "/bin/python -I"),
}


@pytest.mark.parametrize("indent", INDENTS.values(), ids=INDENTS)
@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_script_is_modified(prefix: SmallPrefix, indent: str, edit: str) -> None:
    """The image gets the edited script, and a strict build ends."""
    tool = prefix.entry_point(prefix.add("tool", noarch="python"), "tool", "tool.cli:main", indent)
    old, new = (text.replace("{prefix}", str(prefix.path)) for text in EDITS[edit])
    text = tool.read_text()
    assert old in text
    tool.write_text(text.replace(old, new))
    assert changed(prefix) == ["bin/tool"]


def test_without_the_package_cache_the_distribution_names_the_entry_point(prefix: SmallPrefix) -> None:
    """entry_points.txt has a hash in the record."""
    points = b"[console_scripts]\ntool = tool.cli:main [extra]\n[other]\ntool = no:no\n"
    record = prefix.add("tool", noarch="python", files={f"{SITE}/tool-1.0.dist-info/entry_points.txt": points})
    tool = prefix.entry_point(record, "tool", "tool.cli:main")
    (prefix.pkgs / "tool-1.0-0/info/link.json").unlink()
    assert changed(prefix) == []
    tool.write_text(tool.read_text().replace("tool.cli", "evil.cli"))
    assert changed(prefix) == ["bin/tool"]


def test_an_unknown_entry_point_is_compared_by_its_form_and_its_size(prefix: SmallPrefix) -> None:
    """Neither the package nor its distribution says what the script calls."""
    tool = prefix.entry_point(prefix.add("tool", noarch="python"), "tool", "tool.cli:main")
    (prefix.pkgs / "tool-1.0-0/info/link.json").unlink()
    assert changed(prefix) == []
    tool.write_text(tool.read_text().replace("tool.cli", "another.module"))
    assert changed(prefix) == ["bin/tool"]


def test_the_script_of_a_moved_environment_is_unchanged(prefix: SmallPrefix) -> None:
    """It names the Python of the old place, which does not exist. The image has a script that works."""
    tool = prefix.entry_point(prefix.add("tool", noarch="python"), "tool", "tool.cli:main")
    tool.write_text(tool.read_text().replace(str(prefix.path), "/nonexistent/demo"))
    assert changed(prefix) == []


def test_the_forms_of_a_script() -> None:
    """They are those of rattler and of conda; another file has none."""
    conda = script("tool = tool.cli:main", "/opt/env")[1].encode()
    rattler = conda.replace(b"    ", b"\t")
    assert entry_points.forms(conda) == entry_points.forms(rattler) == [rattler, conda]
    assert entry_points.parse(conda) == ("/opt/env/bin/python", "tool.cli:main")
    assert entry_points.forms(b"#!/bin/sh\n") == []
    assert entry_points.parse(conda.replace(b"import main", b"import other")) is None
