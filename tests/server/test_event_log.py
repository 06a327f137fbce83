"""The events file of a build: it is read from any event on, in whole lines, for any size."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.events import Log, encode
from jupyter_condabuild.server import event_log
from jupyter_condabuild.server.event_log import EventLog

texts = st.lists(st.text(max_size=300), max_size=60)
torn = st.sampled_from(["", "{", '{"type": "log", "seq": 999, "te', "rubbish"])


def written(folder: str, lines: list[str], rest: str = "") -> EventLog:
    """Returns a file with such log lines."""
    path = Path(folder) / "events.jsonl"
    whole = [encode(Log(text), seq, 1.0) + "\n" for seq, text in enumerate(lines, 1)]
    path.write_text("".join(whole) + rest, encoding="utf-8", newline="", errors="backslashreplace")
    return EventLog(path)


@given(texts, torn, st.integers(1, 200), st.integers(0, 70))
def test_reading_from_any_event_gives_the_rest_once_and_in_order(
    lines: list[str], rest: str, chunk: int, after: int
) -> None:
    """The result is right for any size of the chunks, and for a partial line at the end of a killed process."""
    with tempfile.TemporaryDirectory() as folder:
        whole, event_log.CHUNK = event_log.CHUNK, chunk
        try:
            file = written(folder, lines, rest)
            offset = file.offset_after(after)
            found = []
            while True:
                got, next_offset = file.read(offset)
                if next_offset == offset:
                    break
                offset = next_offset
                found += got
        finally:
            event_log.CHUNK = whole
    assert [line.seq for line in found] == list(range(after + 1, len(lines) + 1))
    assert all(line.text == encode(Log(lines[line.seq - 1]), line.seq, 1.0).encode() for line in found)


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    """A build that waits has no events yet."""
    file = EventLog(tmp_path / "events.jsonl")
    assert (file.size, file.read(0), file.offset_after(5), file.last()) == (0, ([], 0), 0, None)


def test_the_last_event_is_found_before_invalid_lines(tmp_path: Path) -> None:
    """The last whole line that is an event counts. A file without an event has no last event."""
    file = written(str(tmp_path), ["a", "b"], 'no event\n{"type": "log", "seq": 3, "ti')
    last = file.last()
    assert last is not None
    assert (last["seq"], last["text"]) == (2, "b")
    assert written(str(tmp_path), [], "no event\n").last() is None
    assert written(str(tmp_path), ["x" * 200_000]).last() is None


def test_lines_that_are_no_events_are_skipped(tmp_path: Path) -> None:
    """Such lines are not sent, and the events after them are sent."""
    file = written(str(tmp_path), ["a"], "Warning: something\n" + encode(Log("b"), 2, 1.0) + "\n")
    assert [line.seq for line in file.read(0)[0]] == [1, 2]
    assert [line.seq for line in file.read(file.offset_after(1))[0]] == [2]


def test_a_position_in_a_large_file_is_found_with_few_reads(tmp_path: Path) -> None:
    """A bisection needs tens of reads for a hundred thousand lines."""
    file = written(str(tmp_path), ["x" * 100] * 100_000)
    offset = file.offset_after(77_777)
    assert file.read(offset)[0][0].seq == 77_778
