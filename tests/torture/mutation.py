"""Target: a function that reads foreign bytes, and the mutations of valid inputs that it gets."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jupyter_condabuild.errors import CondaBuildError

HASH = "ab" * 32

TOKENS = (
    *(
        b'"',
        b"'",
        b"[",
        b"]",
        b"{",
        b"}",
        b":",
        b",",
        b"\n",
        b" ",
        b"null",
        b"true",
        b"-1",
        b"9" * 30,
        b"1e999",
        b"NaN",
    ),
    *(b"\0", b"\xff", b"\x1b[2J", b"\xc2\x9b", b"../", b"/", b"&a ", b"*a ", b"!!python/none ", b"\\ud800", b"@", b"#"),
    *(b"sha256:", b"%2f", b"\x80\x80\x80", b"- ", b"? ", b"--- ", b"\r\n\r\n", "\u202e".encode(), b"x" * 300),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 10**30, 1.5, "", " ", "\0", "\ud800", "\x1b[2J", "../x", "/x", [], {}, [[]], {"a": 1}),
    *(float("inf"), float("nan"), ["a", 1], "a" * 1000, "1", "linux-64", f"sha256:{HASH}", "https://[h/x", {"": None}),
)


def mutated(corpus: Sequence[bytes], program: bytes) -> bytes:
    """A mutation of one input. Each four bytes of the program are one change; a shorter program changes less."""
    data = bytearray(corpus[program[0] % len(corpus)])
    for at in range(1, len(program) - 3, 4):
        kind, high, low, what = program[at : at + 4]
        place = (high << 8 | low) % (len(data) + 1)
        match kind % 6:
            case 0:
                data[place : place + 1] = bytes([what])
            case 1:
                del data[place : place + 1 + what % 32]
            case 2:
                data[place:place] = TOKENS[what % len(TOKENS)]
            case 3:
                data[place:place] = data[place : place + what]
            case 4:
                del data[place + what * 16 :]
            case 5:
                data[place : place + 1] = corpus[what % len(corpus)][place : place + 40]
    return bytes(data)


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        node = stack.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            found.append((node, key))
            stack.append(node[key])
    return found


def restructured(corpus: Sequence[bytes], program: bytes) -> bytes:
    """A mutation of a JSON document: values of other types, members that are missing or new."""
    value = json.loads(corpus[program[0] % len(corpus)])
    for at in range(1, len(program) - 3, 4):
        kind, high, low, what = program[at : at + 4]
        nodes = _nodes(value)
        if not nodes:
            break
        node, key = nodes[(high << 8 | low) % len(nodes)]
        match kind % 4:
            case 0 | 1:
                # A later change may write into the value.
                node[key] = deepcopy(ODD[what % len(ODD)])
            case 2:
                del node[key]
            case 3:
                other, name = nodes[what % len(nodes)]
                node[key] = json.loads(json.dumps(other[name])) if name in other or isinstance(other, list) else None
    return json.dumps(value).encode()


LONGEST = 2000
"""The largest number of characters of a message."""


@dataclass
class Target:
    """A function that reads foreign bytes, and valid inputs for it.

    Args:
        read: reads an input. It may raise a CondaBuildError, or one of `documented`.
        corpus: valid inputs.
    """

    name: str
    read: Callable[[bytes], object]
    corpus: Sequence[bytes]
    documented: tuple[type[Exception], ...] = ()
    executions: int = 0
    uncaught: dict[str, bytes] = field(default_factory=dict)

    def run(self, examples: int) -> None:
        """Reads so many mutations, and keeps one input for each place at which an error was raised."""
        is_json = all(data[:1] in (b"{", b"[") for data in self.corpus)
        for data in self.corpus:
            self._read(data)

        @settings(
            max_examples=examples,
            database=None,
            deadline=None,
            derandomize=examples <= 1000,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(st.binary(min_size=5, max_size=33), st.booleans())
        def one(program: bytes, structure: bool) -> None:
            change = restructured if is_json and structure else mutated
            self._read(change(self.corpus, program))

        one()

    def _read(self, data: bytes) -> None:
        self.executions += 1
        try:
            self.read(data)
        except CondaBuildError as error:
            if len(error.message) > LONGEST:
                self.uncaught.setdefault(f"A message of {len(error.message)} characters: {error.message[:100]}", data)
        except self.documented:
            pass
        except Exception as error:  # noqa: BLE001  each of them is a fault
            frame = traceback.extract_tb(error.__traceback__)[-1]
            self.uncaught.setdefault(f"{type(error).__name__} in {frame.filename}:{frame.lineno}: {error}"[:300], data)
