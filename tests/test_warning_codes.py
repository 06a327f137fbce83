"""The codes of warnings: each has a meaning, and the docs explain it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import jupyter_condabuild
from jupyter_condabuild.distribution import layer_pool, sboms
from jupyter_condabuild.events import Warning, from_json, to_json
from jupyter_condabuild.server.docs import anchor, page
from jupyter_condabuild.warning_codes import GROUPS, MEANINGS, meaning_of

SOURCES = Path(jupyter_condabuild.__file__).parent
COMPUTED = {"sbom-not-attached", "receipt-not-attached", "layer-pool-not-read", "layer-pool-not-written"}


def used() -> set[str]:
    """Returns the codes in calls of Warning."""
    calls = [
        node
        for file in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Warning"
    ]
    return {call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)}


def test_each_code_has_a_meaning_and_no_other() -> None:
    """A new code without a meaning would be a note, however bad the news is."""
    assert used() | COMPUTED == MEANINGS.keys()
    for code in ("layer-pool-not-read", "layer-pool-not-written"):
        assert f'"{code}"' in Path(layer_pool.__file__).read_text()
    assert "-not-attached" in Path(sboms.__file__).read_text()


def test_each_explanation_exists() -> None:
    """The page has a heading with the anchor, in the text of the repository and as the server sends it."""
    text = (SOURCES.parent / "docs/environments.md").read_text()
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for meaning in MEANINGS.values():
        assert meaning.section in headings
        assert f'id="{meaning.section}"' in page()
        assert meaning.group in GROUPS
    assert "<table>" in page()


def test_the_groups_say_what_a_warning_means() -> None:
    """Lost, others cannot rebuild it, good to know; and what ends a build."""
    assert meaning_of("outside-prefix").group == "lost"
    assert meaning_of("untracked-files").group == meaning_of("local-name").group == "others"
    assert meaning_of("excluded-files").group == meaning_of("of-a-later-version").group == "note"
    assert [code for code, meaning in MEANINGS.items() if meaning.group == "stops"] == ["secrets-found"]


def test_an_event_has_the_group_and_the_explanation() -> None:
    """An event that was read again is the same warning."""
    warning = Warning("local-name", "message", "hint")
    value = to_json(warning, 1, 2.0)
    assert (value["group"], value["why"]) == ("others", "environments#registries-and-networks")
    assert from_json(value) == warning
