"""Events have one format as JSON lines. Written events are read again, and the sequence number needs no JSON parser."""

from __future__ import annotations

import json

import pytest

from jupyter_condabuild.events import (
    LAST,
    Cancelled,
    Event,
    Failed,
    Finished,
    Layer,
    Log,
    OnceEach,
    Phase,
    Progress,
    Warning,
    encode,
    from_json,
    sequence_number,
    to_json,
)

EVENTS: list[Event] = [
    Phase("layers", "done", 1.25),
    Log('a "quoted" line\n', "stderr"),
    Progress("push", 1, 2),
    Layer("ab12", ("numpy-1-0", "pip-2-0"), 10, "mounted"),
    Warning("modified-files", "1 file changed.", "Reinstall the package."),
    Finished("registry.lab.org/env:v1", "sha256:00", 1, 2, 3, 4, 0.5, command=("python",)),
    Failed("disk_full", "No space left."),
    Cancelled(),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_a_written_event_is_read_again(event: Event) -> None:
    """`from_json` reverses `encode`, also for tuples."""
    assert from_json(json.loads(encode(event, 7, 1.0))) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_the_sequence_number_is_at_the_start_of_each_line(event: Event) -> None:
    """`sequence_number` reads the output of `encode`, for every type of event."""
    assert sequence_number(encode(event, 123456, 1.0).encode()) == 123456


@pytest.mark.parametrize("line", [b"", b"{}", b"Traceback", b'{"seq": 1}', b'{"type": "log", "seq": -1,'])
def test_a_line_that_is_no_event_has_no_sequence_number(line: bytes) -> None:
    """Other output of a process is not read as an event."""
    assert sequence_number(line) is None


def test_unknown_members_are_ignored() -> None:
    """An events file of a newer version can be read."""
    assert from_json({**to_json(Log("text"), 1, 0.0), "colour": "red"}) == Log("text")


@pytest.mark.parametrize("value", [{}, {"type": "unknown"}, {"type": "log"}, {"type": None}, {"type": ["log"]}])
def test_an_object_that_is_no_event_is_refused(value: dict[str, object]) -> None:
    """An object with an unknown type, or without a required member, is refused."""
    with pytest.raises(ValueError, match=r"type|argument"):
        from_json(value)


def test_three_types_end_a_build() -> None:
    """A build ends with exactly one of these events."""
    assert [event.type for event in EVENTS if event.type in LAST] == ["finished", "failed", "cancelled"]


def test_a_repeated_warning_is_reported_once() -> None:
    """Several parts of a job can find the same fault. Any other event is reported each time."""
    told: list[Event] = []
    report = OnceEach(told.append)
    for event in [EVENTS[4], EVENTS[1], EVENTS[4], EVENTS[1], Warning("modified-files", "2 files changed.")]:
        report(event)
    assert told == [EVENTS[4], EVENTS[1], EVENTS[1], Warning("modified-files", "2 files changed.")]
