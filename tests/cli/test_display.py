"""The display of a build on a terminal, tested with a real terminal emulator."""

from __future__ import annotations

import fcntl
import io
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_condabuild.display import Plain, Terminal, display
from jupyter_condabuild.events import Event, Failed, Finished, Layer, Log, Phase, Progress, Warning
from tests.parts.build_events import DIGEST, DONE, START, Clock


class Screen(io.TextIOWrapper):
    """A pseudo-terminal with a reader."""

    def __init__(self, columns: int = 80, rows: int = 24, encoding: str = "utf-8") -> None:
        self.master, slave = os.openpty()
        super().__init__(os.fdopen(slave, "wb", buffering=0), encoding=encoding, newline="", write_through=True)
        self.emulator = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.emulator)
        self.raw = b""
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.emulator.resize(rows, columns)

    def look(self, timeout: float = 0) -> list[str]:
        """Returns the visible lines, without empty lines at the end."""
        while select.select([self.master], [], [], timeout)[0]:
            data = os.read(self.master, 65536)
            self.raw += data
            self._stream.feed(data)
            timeout = 0
        return "\n".join(line.rstrip() for line in self.emulator.display).rstrip().split("\n")

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    def close(self) -> None:
        super().close()
        self.hang_up()


@pytest.fixture
def screen() -> Iterator[Screen]:
    with Screen() as screen:
        yield screen


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def shown(screen: Screen, events: list[Event], clock: Clock | None = None) -> list[str]:
    """Returns the visible lines after some events, two seconds later."""
    clock = clock or Clock()
    report = Terminal(screen, clock, ticking=False)
    for event in events:
        report(event)
    clock.now += 2
    report.draw()
    seen = screen.look()
    report.close()
    return seen


def test_the_current_layers_are_displayed(screen: Screen) -> None:
    """Ended phases stay above. Below, the phase, a line for each current layer and a bar for all are redrawn."""
    assert shown(screen, START) == [
        "✓ environment    0.4 s",
        "! Others cannot rebuild it",
        "  - Two packages were installed by pip without a hash.",
        "    Reinstall them.",
        "⠙ layers         2.0 s  70 reused  Linking 6 packages.",
        "    numpy                              1.0 of 6.2 MB   500 kB/s",
        "    click and 12 more                  0.0 of 900 kB",
        "  build       ━━━━━────────────────   25 %  10 of 40 MB    5.0 MB/s  6 s left",
    ]


def test_a_narrow_terminal_shows_the_important_parts(screen: Screen) -> None:
    """With 60 and with 30 columns, the bar and the share stay, then the remaining time. No line is wrapped."""
    screen.resize(60, 24)
    assert shown(screen, START)[-1] == "  build       ━━─────────   25 %  10 of 40 MB    6 s left"
    with Screen(30, 24) as narrow:
        assert shown(narrow, START)[-1] == "  build       ━━──────   25 %"


def test_the_end_is_a_short_block(screen: Screen) -> None:
    """At the end the live part is removed, and the result has name, digest, size, layers, bytes and time."""
    report = Terminal(screen, Clock(), ticking=False)
    for event in START:
        report(event)
    report.draw()
    report(Layer("k", ("numpy",), 6_200_000, "built"))
    report(Phase("layers", "done", 12.4))
    report(Phase("push", "started"))
    report(Layer("k", ("numpy",), 6_200_000, "pushed"))
    report(Layer("", (), 500, "pushed"))
    report(Phase("push", "done", 3.2))
    report(DONE)
    report.close()
    assert screen.look() == [
        "✓ environment    0.4 s",
        "! Others cannot rebuild it",
        "  - Two packages were installed by pip without a hash.",
        "    Reinstall them.",
        "✓ layers          12 s  70 reused, 1 built",
        "✓ push           3.2 s  1 pushed",
        "✓ registry.lab.org/team/env:v1",
        f"  digest {DIGEST}",
        "  size   330 MB in 76 layers: 70 reused, 1 built, 1 pushed",
        "  sent   2.9 MB",
        "  time   18 s",
    ]
    assert not screen.emulator.cursor.hidden
    assert (screen.emulator.cursor.x, screen.emulator.cursor.y) == (0, 11)


def test_a_failure_is_displayed_with_its_hint(screen: Screen) -> None:
    """The display has the failed phase, the last lines of standard error, the wrapped message, and the hint."""
    screen.resize(40, 24)
    log = [Log(f"line {number}", "stderr") for number in range(30)]
    failed = Failed("registry_denied", "The registry registry.lab.org refused the push.", "Ask for the right to push.")
    seen = shown(screen, [Phase("push", "started"), *log, failed])
    assert seen[0] == "✗ push           0.0 s"
    assert seen[1:13] == [f"  line {number}" for number in range(18, 30)]
    assert seen[13:] == [
        "✗ The registry registry.lab.org refused",
        "  the push.",
        "  Ask for the right to push.",
    ]


def test_a_finished_layer_is_removed_from_the_screen(screen: Screen) -> None:
    """The line of a layer is removed at its end, and all lines at the end of the phase.

    If there are many, some are counted.
    """
    many = [Progress(f"package-{number}", 1, 10) for number in range(20)]
    seen = shown(screen, [Phase("layers", "started"), *many])
    assert [line.split()[0] for line in seen[1:]] == [f"package-{number}" for number in range(8)] + ["and"]
    assert seen[-1] == "    and 12 more"
    screen.emulator.reset()
    some = shown(screen, [Phase("layers", "started"), *many, *(Progress(f"package-{n}", 10, 10) for n in range(1, 20))])
    assert len(some) == 2
    screen.emulator.reset()
    assert shown(screen, [Phase("layers", "started"), *many, Phase("layers", "done", 1)]) == ["✓ layers         1.0 s"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.builds(Phase, st.sampled_from(["snapshot", "layers", "push"]), st.sampled_from(["started", "done"])),
            st.builds(Log, st.text(max_size=100), st.sampled_from(["stdout", "stderr"])),
            st.builds(Progress, st.text(max_size=50), st.integers(0, 1 << 50), st.integers(0, 1 << 50)),
            st.builds(Progress, st.sampled_from(["build", "verify"]), st.integers(0, 1 << 40), st.integers(0, 1 << 40)),
            st.builds(
                Layer, st.text(max_size=5), st.tuples(st.text()), st.just(1), st.sampled_from(["built", "pushed"])
            ),
        ),
        max_size=30,
    ),
    st.integers(2, 90),
    st.integers(2, 20),
)
def test_no_live_line_is_wider_than_the_terminal(events: list[Event], width: int, height: int) -> None:
    """For any events and any size of the terminal, the live part fits, so that it can be redrawn in its place."""
    with Screen(width, height) as screen:
        clock = Clock()
        report = Terminal(screen, clock, ticking=False)
        for event in events:
            report(event)
            clock.now += 0.3
            report.draw()
            assert len(report._drawn) < max(2, height)
            assert all(drawn < width for drawn in report._drawn)
        report.close()
        screen.look()
        assert not screen.emulator.cursor.hidden


def test_a_terminal_that_gets_narrower_is_redrawn_in_place(screen: Screen) -> None:
    """A terminal that becomes narrower wraps long lines. The cursor then goes up by the new number of rows."""
    report = Terminal(screen, clock := Clock(), ticking=False)
    for event in START:
        report(event)
    clock.now += 2
    report.draw()
    screen.look()
    drawn = list(report._drawn)
    assert len(drawn) == 4
    screen.resize(40, 24)
    screen.raw = b""
    report.draw()
    screen.look()
    rows = sum(-(-width // 40) for width in drawn)
    assert rows > 4
    assert f"\x1b[{rows - 1}A".encode() in screen.raw
    report.close()


def test_hostile_text_cannot_control_the_terminal(screen: Screen) -> None:
    """Control sequences in names and messages are printed as text. The terminal gets only our own sequences."""
    evil = "\x1b[2J\x1b]0;title\x07\x9b31m\x1b(0\u202eevil\r\nname\t\x00\ud800"
    shown(
        screen,
        [
            Phase("layers", "started"),
            Progress(evil, 1, 10),
            Log(evil, "stderr"),
            Layer(evil, (evil,), 1, "built"),
            Warning(evil, evil, evil),
            Failed(evil, evil, evil),
        ],
    )
    with Screen() as other:
        shown(other, [Finished(evil, evil, 1, 1, 1, 1, 1.0, evil)])
    for raw in (screen.raw, other.raw):
        assert set(re.findall(rb"\x1b[^A-Za-z]*[A-Za-z]", raw)) <= {
            *(b"\x1b[" + code for code in (b"K", b"J", b"?25l", b"?25h", b"0m", b"1m", b"2m", b"31m", b"32m", b"33m")),
            b"\x1b[36m",
            *(b"\x1b[%dA" % rows for rows in range(1, 9)),
        }
        text = re.sub(rb"\x1b[^A-Za-z]*[A-Za-z]", b"", raw).decode()
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", text)
        assert "evil name" in text


def test_no_color_is_respected(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR, the display still moves, and has neither colours nor bold text."""
    monkeypatch.setenv("NO_COLOR", "1")
    shown(screen, [*START, DONE])
    assert not re.search(rb"\x1b\[[0-9;]*m", screen.raw)
    assert b"\x1b[J" in screen.raw


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """If the terminal's encoding has no bars and ticks, other characters are used. No name raises an error."""
    with Screen(encoding="ascii") as screen:
        seen = shown(screen, [*START, Progress("日本語", 1, 10), Log("Ω" * 100)])
        assert seen[0] == "* environment    0.4 s"
        assert seen[-1].startswith("  build       #####........")
        assert any("???" in line for line in seen)


def test_the_display_moves_by_itself(screen: Screen) -> None:
    """Without events, a thread updates the display, so that the spinner turns."""
    with Terminal(screen) as report:
        report(Phase("base", "started"))
        marks = {line[0] for _ in range(3) for line in screen.look(timeout=10) if "base image" in line}
    assert len(marks) > 1


def test_an_event_does_not_wait_for_the_terminal(screen: Screen) -> None:
    """Events are only recorded. A terminal that is slow, or stopped with Ctrl-S, does not delay the build."""
    report = Terminal(screen, Clock(), ticking=False)
    for event in [*START, *(Log("x" * 1000) for _ in range(1000))]:
        report(event)
    assert screen.look() == [""]
    report.close()


def test_a_closed_terminal_does_not_end_the_build(screen: Screen) -> None:
    """If the terminal or the reader of a pipe is closed, the build continues without output."""
    report = Terminal(screen, Clock(), ticking=False)
    screen.hang_up()
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        for one in (report, Plain(pipe)):
            for event in [*START, DONE]:
                one(event)
            one.close()
        with pytest.raises(BrokenPipeError):
            pipe.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())


@pytest.mark.parametrize("how", ["interrupt", "exception", "exit"])
def test_the_cursor_is_restored(screen: Screen, how: str) -> None:
    """After Ctrl-C, an exception or an exit without closing, the cursor is visible and the live part is removed."""
    program = f"""if True:
        import sys
        from jupyter_condabuild.display import Terminal
        from jupyter_condabuild.events import Phase
        report = Terminal(sys.stdout)
        report(Phase("base", "started"))
        if {how!r} == "exit":
            sys.stdin.readline()
            sys.exit()
        with report:
            sys.stdin.readline()
            raise KeyError
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=screen, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        while "base image" not in screen.look(timeout=30)[0]:
            assert process.poll() is None
        assert screen.emulator.cursor.hidden
        if how == "interrupt":
            process.send_signal(signal.SIGINT)
        else:
            process.communicate(b"\n")
    assert screen.look() == [""]
    assert not screen.emulator.cursor.hidden


def test_the_display_depends_on_the_stream(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets the live display. A file, a pipe and a dumb terminal get lines."""
    monkeypatch.setenv("TERM", "xterm-256color")
    with display(screen) as report:
        assert isinstance(report, Terminal)
    assert isinstance(display(io.StringIO()), Plain)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(screen), Plain)
