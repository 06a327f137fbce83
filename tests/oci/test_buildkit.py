"""BuildKit's trace becomes events. Each byte of the trace is parsed and checked."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.engines.docker.progress import Steps
from jupyter_condabuild.errors import DiskFull, EngineFault, RegistryFault
from jupyter_condabuild.events import Event, Log, Progress
from jupyter_condabuild.oci.engine.builder import NoBuildKit, _follow, _readable, _refusal
from jupyter_condabuild.oci.engine.trace import Trace, Vertex, VertexLog, VertexStatus
from jupyter_condabuild.oci.image import Reference

# The messages that Docker 20.10 sent while it built a Dockerfile of two steps.
RECORDED = (
    "Cp0CCkdzaGEyNTY6NzBiZDA2OTg1NmNmZDNmNmMwNGZjYTk3NTU2ZjM0NzI3Njk3MzJlNzA5ODM0ODBiZjlkMjE4YjkwYjJkYzM2MBpuW2EgMy8z"
)


def varint(value: int) -> bytes:
    """Encodes a number in protobuf's base 128."""
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def field(number: int, value: int | bytes | str) -> bytes:
    """Encodes one field of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def vertex(digest: str, name: str, *, cached: bool = False, started: int = 0, ended: int = 0, error: str = "") -> bytes:
    """Encodes a step as BuildKit does."""
    data = field(1, digest) + field(2, "sha256:input") + field(3, name)
    data += field(4, 1) if cached else b""
    data += field(5, field(1, started) + field(2, 500_000_000)) if started else b""
    data += field(6, field(1, ended) + field(2, 0)) if ended else b""
    return field(1, data + (field(7, error) if error else b""))


def log(digest: str, text: bytes, stream: int = 1) -> bytes:
    """Encodes the output of a step."""
    return field(3, field(1, digest) + field(2, field(1, 5)) + field(3, stream) + field(4, text))


def status(digest: str, name: str, current: int, total: int) -> bytes:
    """Encodes the progress of a transfer."""
    return field(2, field(1, name) + field(2, digest) + field(4, current) + field(5, total))


def told(*messages: bytes) -> list[Event]:
    """Returns the events for some messages."""
    events: list[Event] = []
    steps = Steps(events.append)
    for message in messages:
        steps(Trace.parse(message))
    return events


def lines(*messages: bytes) -> list[str]:
    """Returns the log for some messages."""
    return [event.text for event in told(*messages) if isinstance(event, Log)]


def test_each_part_of_a_message_is_read() -> None:
    """Vertexes, statuses and logs have times in seconds, and unchanged bytes."""
    message = vertex("d", "RUN x", started=10, ended=12) + status("d", "sha256:layer", 5, 9) + log("d", b"a\n", 2)
    assert Trace.parse(message) == Trace(
        (Vertex("d", "RUN x", False, 10.5, 12.0),),
        (VertexStatus("d", "sha256:layer", 5, 9),),
        (VertexLog("d", 2, b"a\n"),),
    )


def test_unknown_fields_are_skipped() -> None:
    """Fields with unknown numbers and types, which later versions may add, change nothing."""
    message = vertex("d", "RUN x")
    newer = field(4, b"a warning") + field(99, 7) + varint(15 << 3 | 1) + bytes(8) + varint(16 << 3 | 5) + bytes(4)
    assert Trace.parse(newer + message + newer) == Trace.parse(message)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_trace_or_a_named_error(data: bytes) -> None:
    """Arbitrary bytes from an engine never cause another exception, and never an endless loop."""
    try:
        Trace.parse(data)
    except EngineFault:
        return


@given(st.data())
def test_a_cut_message_gives_a_named_error_or_its_first_part(data: st.DataObject) -> None:
    """A message that is cut anywhere is refused, or gives the fields before the cut."""
    message = vertex("d", "RUN x", started=10) + log("d", b"words\n")
    cut = data.draw(st.integers(0, len(message)))
    try:
        found = Trace.parse(message[:cut])
    except EngineFault:
        return
    assert len(found.logs) + len(found.vertexes) <= 2


def test_a_recorded_message_that_is_cut_is_refused() -> None:
    """The first bytes of a recorded message are not a valid message."""
    with pytest.raises(EngineFault):
        Trace.parse(base64.b64decode(RECORDED))


def test_the_log_has_the_start_and_the_duration_of_each_step() -> None:
    """A step has one line for its start and one line for its end, even if BuildKit repeats its messages."""
    begun = vertex("d", "[environment 2/5] RUN x", started=10)
    assert lines(
        begun,
        begun,
        log("d", b"half"),
        log("d", b" a line\r\nrest"),
        vertex("d", "[environment 2/5] RUN x", started=10, ended=12),
    ) == [
        "#1 [environment 2/5] RUN x",
        "#1 half a line",
        "#1 rest",
        "#1 done in 1.5 s",
    ]


def test_a_cached_step_is_marked() -> None:
    """The log says CACHED for the step, and the steps of the last stage are counted."""
    events: list[Event] = []
    steps = Steps(events.append)
    names = ["[environment 1/2] FROM x", "[environment 2/2] RUN y", "[stage-1 1/3] FROM z", "[stage-1 2/3] COPY a b"]
    for number, name in enumerate([*names, "[stage-1 3/3] WORKDIR /"]):
        steps(Trace.parse(vertex(f"d{number}", name, cached=number != 4, started=1, ended=2)))
    texts = [event.text for event in events if isinstance(event, Log)]
    assert texts[1] == "#2 [environment 2/2] RUN y CACHED"
    assert steps.layers == {"[stage-1 2/3] COPY a b": True, "[stage-1 3/3] WORKDIR /": False}


def test_a_failed_step_logs_its_reason_on_standard_error() -> None:
    """The reason is among the last lines of a failed build."""
    events = told(
        vertex("d", "RUN x", started=1),
        log("d", b"oh no", 2),
        vertex("d", "RUN x", started=1, ended=2, error="exit code: 1"),
    )
    assert [event for event in events if isinstance(event, Log) and event.stream == "stderr"] == [
        Log("#1 oh no", "stderr"),
        Log("#1 failed: exit code: 1", "stderr"),
    ]


def test_a_missing_cache_is_no_failure() -> None:
    """A first build names a cache image that does not exist yet.

    The log says so without an error. Digests are shortened.
    """
    name = f"importing cache manifest from registry/env@sha256:{'ab' * 32}"
    events = told(vertex("d", name, started=1), vertex("d", name, started=1, ended=2, error="not found"))
    assert events == [
        Log("#1 importing cache manifest from registry/env@sha256:abababababab…"),
        Log("#1 no cache is available there (not found)"),
    ]


def test_transfers_are_reported_as_progress() -> None:
    """A transfer is reported in bytes if its total is known. A transfer without a total is not reported."""
    events = told(status("d", "sha256:abc", 5, 10), status("d", "extracting", 0, 0))
    assert [event for event in events if isinstance(event, Progress)] == [Progress("sha256:abc", 5, 10)]


def test_credentials_in_a_log_are_removed() -> None:
    """If a step prints a URL with a password, our log has the URL without the password."""
    (line,) = lines(log("d", b"GET https://me:canary@conda.lab.org/x failed\n"))
    assert "canary" not in line


def test_the_text_of_the_classic_builder_is_reported() -> None:
    """Steps and cached steps are found in the text of the classic builder and of Podman."""
    events: list[Event] = []
    steps = Steps(events.append)
    for text in ("Step 1/3 : FROM x\n", " ---> 123\nStep 2/3 : RUN y\n", " ---> Using cache\n", "STEP 3/3: COPY a b\n"):
        steps(text)
    assert steps.layers == {"Step 2/3 : RUN y": True, "STEP 3/3: COPY a b": False}
    assert "CACHED" in [event.text for event in events if isinstance(event, Log)]


def test_the_image_id_of_each_builder_is_found() -> None:
    """BuildKit and Podman send the id of the image. The classic builder prints it as its last word."""
    digest = "ab" * 32
    assert _follow(iter([{"id": "moby.image.id", "aux": {"ID": f"sha256:{digest}"}}]), print) == f"sha256:{digest}"
    assert _follow(iter([{"stream": f"Successfully built {digest[:12]}\n"}]), lambda answer: None) == digest[:12]
    assert _follow(iter([{"stream": f"{digest}\n"}]), lambda answer: None) == digest


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": "executor failed running [/bin/sh -c x]: exit code: 1"}, EngineFault),
        ({"error": "write /x: no space left on device"}, DiskFull),
        ({"message": "buildkit not supported by daemon"}, NoBuildKit),
        ({"id": "moby.buildkit.trace", "aux": "%%%"}, EngineFault),
        ({"id": "moby.buildkit.trace", "aux": base64.b64encode(b"\xff\xff").decode()}, EngineFault),
    ],
)
def test_each_failure_has_its_error(answer: dict[str, object], error: type[Exception]) -> None:
    """Each kind of failure in the stream gives the error whose hint helps."""
    with pytest.raises(error):
        _follow(iter([json.loads(json.dumps(answer))]), lambda answer: None)


def test_a_full_registry_is_not_a_full_disk_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry's message about its own disk is an error of the registry."""
    error = _refusal(Reference.parse("lab.org/a:1"), "write /var/lib/registry/x: no space left on device")
    assert isinstance(error, RegistryFault)
    assert "no space left" in error.message


def test_a_very_long_failure_is_read_in_linear_time() -> None:
    """With a quadratic pattern, this test would not end."""
    text = "executor failed running [" * 200_000
    assert _readable(text) == text
    assert _readable("x: executor failed running [sh -c [a]]: exit code: 1") == "x: a command ended with exit code: 1"
