"""A build as lines of text. Text from other places is made harmless, and fits into its columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.display import Plain
from jupyter_condabuild.display.meter import Meter
from jupyter_condabuild.display.text import clean, columns, cut, wrap
from jupyter_condabuild.events import Cancelled, Finished, Layer, Phase, Progress, Warning
from tests.parts.build_events import DIGEST, DONE, START, Clock


def test_lines_have_the_same_content(tmp_path: Path) -> None:
    """Without a terminal there is a line for each phase and layer, warnings with hints, and the result.

    No line has codes.
    """
    out = io.StringIO()
    with Plain(out, Clock()) as report:
        for event in START:
            report(event)
        report(Layer("k", ("numpy",), 6_200_000, "built"))
        report(Phase("layers", "done", 12.4))
        report(Layer("k", ("numpy",), 6_200_000, "pushed"))
        report(DONE)
    assert out.getvalue().splitlines() == [
        "environment: done in 0.4 s",
        "! Others cannot rebuild it",
        "  - Two packages were installed by pip without a hash.",
        "    Reinstall them.",
        "layers: started",
        "  Linking 6 packages.",
        "  built numpy, 6.2 MB",
        "layers: done in 12 s (70 reused, 1 built)",
        "  pushed numpy, 6.2 MB",
        "✓ registry.lab.org/team/env:v1",
        f"  digest {DIGEST}",
        "  size   330 MB in 76 layers: 70 reused, 1 built, 1 pushed",
        "  sent   2.9 MB",
        "  time   18 s",
    ]


def test_progress_lines_come_every_five_seconds() -> None:
    """A thousand events in twelve seconds give two lines. The progress of a single layer gives no line."""
    out, clock = io.StringIO(), Clock()
    report = Plain(out, clock)
    report(Phase("push", "started"))
    for step in range(1, 1201):
        clock.now += 0.01
        report(Progress("build", step * 10_000, 40_000_000))
        report(Progress("numpy", step, 2000))
    assert out.getvalue().splitlines() == [
        "push: started",
        "  build: 5.0 of 40 MB, 12 %",
        "  build: 10 of 40 MB, 25 %",
    ]


def test_an_archive_without_a_name_is_the_result() -> None:
    """For an image without a name, the result names the archive, and nothing was sent. With a name, it names both."""
    for reference, head in {"": "✓ env.tar", "lab/env:v1": "✓ lab/env:v1"}.items():
        out = io.StringIO()
        Plain(out)(Finished(reference, DIGEST, 1000, 0, 2, 0, 1.0, "env.tar"))
        lines = out.getvalue().splitlines()
        assert lines[0] == head
        assert ("  file   env.tar" in lines) == bool(reference)
        assert not any("sent" in line for line in lines)


def test_a_cancelled_build_prints_one_word() -> None:
    """After Ctrl-C, the result is one word."""
    out = io.StringIO()
    Plain(out)(Cancelled())
    assert out.getvalue() == "Cancelled.\n"


def test_the_rate_is_the_rate_of_the_last_seconds() -> None:
    """The rate follows the last seconds. It is zero during a stall, and not negative after a restart."""
    meter = Meter(0.0)
    for second in range(1, 11):
        meter.update(float(second), second * 1000, 20_000)
    assert meter.rate(10.0) == 1000
    assert meter.left(10.0) == 10
    meter.update(12.0, 20_000, 20_000)
    assert meter.rate(12.0) == 2600
    assert meter.left(12.0) is None
    assert meter.rate(30.0) == 0
    meter.update(31.0, 500, 20_000)
    assert meter.rate(31.0) == 0
    meter.update(32.0, 1500, 20_000)
    assert meter.rate(32.0) == 1000


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x07", "link"),
        ("\x9b31mred", "red"),
        ("\x1b]unended title", "unended title"),
        ("a\r\nb\tc", "a b c"),
        ("a\x00b\u202ec\ud800", "a\ufffdb\ufffdc\ufffd"),
        ("日本語 é ✓", "日本語 é ✓"),
    ],
)
def test_control_sequences_are_removed(text: str, cleaned: str) -> None:
    """A coloured log line loses only its colours. Invisible characters are made visible."""
    assert clean(text) == cleaned


@given(st.text(alphabet=st.characters(codec=None), max_size=60), st.integers(0, 40))
def test_text_is_cut_and_wrapped_to_columns(text: str, width: int) -> None:
    """Cleaned text fits into its columns. Wide and combining characters are counted as in terminals."""
    text = clean(text)
    assert "\n" not in text
    assert columns(cut(text, width)) <= width
    assert " ".join(wrap(text, width)) == " ".join(text.split())
    assert columns("日本e\u0301") == 5


def test_warnings_are_grouped_by_what_they_mean() -> None:
    """Each group has a heading, and warnings with the same hint share it. The most important group is the first."""
    out = io.StringIO()
    with Plain(out, Clock()) as report:
        report(Warning("frozen", "The environment is frozen.", "It is built as usual."))
        report(Warning("editable-install", "mine is an editable install.", "A copy."))
        report(Warning("unreadable", "1 path cannot be read.", "Make it readable."))
        report(Warning("editable-install", "yours is an editable install.", "A copy."))
        report(Phase("lock", "done", 0.1))
        report(Warning("of-a-later-version", "A message."))
    assert out.getvalue().splitlines() == [
        "! Not in the image, or not as it is here",
        "  - 1 path cannot be read.",
        "    Make it readable.",
        "! Others cannot rebuild it",
        "  - mine is an editable install.",
        "  - yours is an editable install.",
        "    A copy.",
        "! Good to know",
        "  - The environment is frozen.",
        "    It is built as usual.",
        "lock: done in 0.1 s",
        "! Good to know",
        "  - A message.",
    ]
