"""Our YAML has the same meaning for every parser, and our parser does not guess types."""

from __future__ import annotations

from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.conda.formats import yaml
from jupyter_condabuild.errors import LockfileError

TEXT = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[0-9a-f.:_-]{1,12}", fullmatch=True),
    st.sampled_from(["yes", "No", "NULL", "~", "1.10", "0x1f", "1e3", "1_000", "12:30", "2026-11-24", "a: b", "a #b",
                     "- a", "<<", "=", "&a", "*a", "!a", "| ", "> ", "%a", "@a", "{}", "[]", "", " ", "a\n", "\u2028",
                     "\ufeff", "\x85"]),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(TEXT, st.integers(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4))
def test_other_parsers_read_the_same_values(value: dict[str, Any]) -> None:
    """A parser that guesses types finds the same strings and the same numbers."""
    assert pyyaml.safe_load(yaml.dump(value)) == value


@given(st.dictionaries(TEXT, st.lists(TEXT, max_size=3), min_size=1, max_size=4))
def test_written_text_is_read_again(value: dict[str, Any]) -> None:
    """Our parser reads all scalars as strings, so that strings are read unchanged."""
    assert yaml.load(yaml.dump(value), "here") == value


def test_unquoted_versions_are_read_as_text() -> None:
    """3.10 and dates without quotes are read as text."""
    assert yaml.load("a: 3.10\nb: 2026-11-24\nc: 1_0\nd: yes\n", "here") == {
        "a": "3.10",
        "b": "2026-11-24",
        "c": "1_0",
        "d": "yes",
    }


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\x00", "a: *b", "&a [*a]: 1"])
def test_a_text_that_is_no_yaml_is_refused(text: str) -> None:
    """The error has the name of the file."""
    with pytest.raises(LockfileError, match="here"):
        yaml.load(text, "here")


def test_tags_create_no_objects() -> None:
    """A lock file from another person runs no code."""
    assert yaml.load("!!python/object/apply:os.system ['true']", "here") == ["true"]


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + chr(ord(name) - 1)] * 9)}]\n" for name in "bcdefghi"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "alias .line 2."),
        ("a: &a [1]\nb: *a\n", "alias"),
        ("a: 1\n--- \nb: 2\n", "several documents"),
        ("[" * 5_000, "here"),
        ("? [a]\n: b\n", "key is not a text"),
        ("- a\n" * 1_000_001, "too large"),
    ],
)
def test_a_document_that_expands_is_refused(text: str, said: str) -> None:
    """Aliases, deep or large documents, and keys that are not text are refused: a small file needs little memory."""
    with pytest.raises(LockfileError, match=said):
        yaml.load(text, "here")
