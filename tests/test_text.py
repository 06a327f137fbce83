"""Sizes and times in a form for people."""

from __future__ import annotations

import pytest

from jupyter_condabuild.text import agreeing, clean, clean_lines, counted, part_text, seconds_text, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_900_000, "1.9 MB"),
        (9_949_999, "9.9 MB"),
        (9_950_000, "10 MB"),
        (297_000_000, "297 MB"),
        (999_400_000, "999 MB"),
        (999_600_000, "1.0 GB"),
        (5_000_000_000_000_000_000, "5000 PB"),
    ],
)
def test_sizes_have_a_readable_form(size: int, text: str) -> None:
    """Sizes have two or three digits and a unit in powers of 1000, as in registries."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (0.38, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3780, "1 h 3 min"),
        (7199.9, "2 h"),
    ],
)
def test_times_have_a_readable_form(seconds: float, text: str) -> None:
    """Times have only the useful precision."""
    assert seconds_text(seconds) == text


def test_a_part_has_the_unit_of_the_whole() -> None:
    """A reader can compare both numbers."""
    assert part_text(0, 6_200_000) == "0.0 of 6.2 MB"
    assert part_text(120_000_000, 197_000_000) == "120 of 197 MB"
    assert part_text(3, 10) == "3 of 10 B"


def test_a_text_of_sequences_without_an_end_takes_linear_time() -> None:
    """The search starts at each sequence once. The text is shown without the control characters."""
    assert set(clean("\x9d" * 500_000)) == {"\N{REPLACEMENT CHARACTER}"}
    assert clean("\x1b]" * 200_000 + "end") == "end"


def test_each_line_is_cleaned_and_keeps_its_indentation() -> None:
    """A text of several lines keeps its lines, without control characters."""
    assert clean_lines("a\x1b[2J\n  b\x9b31m\r c\n\x1b]0;title\x07") == "a\n  b  c\n"
    table = "layer    size  packages\n    1  2.0 MB  a"
    assert clean_lines(table) == table


def test_words_agree_with_a_number() -> None:
    """A number and the things themselves give the same words. Zero is several."""
    assert [counted(number, "path") for number in range(3)] == ["0 paths", "1 path", "2 paths"]
    assert [counted(things, "category") for things in ((), ("a",), ("a", "b"))] == [
        "0 categories",
        "1 category",
        "2 categories",
    ]
    assert counted(2, "day") == "2 days"
    assert [agreeing(number, "is", "are") for number in range(3)] == ["are", "is", "are"]
    assert agreeing(["a"], "comes", "come") == "comes"
