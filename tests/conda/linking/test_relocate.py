"""Paths of the live prefix become paths of the image, everywhere in a file. Other bytes do not change."""

from __future__ import annotations

import marshal
import os
import pickle
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.conda.linking import relocate
from jupyter_condabuild.conda.linking.relocate import Replacement, relocated, relocated_target

OLD, NEW = b"/home/me/envs/demo", b"/opt/env"
TABLE: list[Replacement] = [(OLD, NEW)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def moved(folder: Path, data: bytes, table: list[Replacement] = TABLE) -> bytes | None:
    """Returns the new content, or None if the file does not change."""
    (folder / "file").write_bytes(data)
    (folder / "target").unlink(missing_ok=True)
    changed = relocated(folder / "file", table, folder / "target")
    assert (folder / "file").read_bytes() == data
    assert changed == (folder / "target").exists()
    return (folder / "target").read_bytes() if changed else None


def test_a_file_without_the_path_is_not_changed(folder: Path) -> None:
    """Nothing is written."""
    assert moved(folder, b"") is None
    assert moved(folder, b"#!/usr/bin/python\n" + bytes(100)) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"#!%b/bin/python\n", b"#!%b/bin/python\n"),
        (b"%b", b"%b"),
        (b"a:%b:%b/lib\n", b"a:%b:%b/lib\n"),
        (b"-L%b/lib -Wl,-rpath,%b/lib", b"-L%b/lib -Wl,-rpath,%b/lib"),
        (b'{"url": "file://%b/src"}', b'{"url": "file://%b/src"}'),
        (b"It is in %b.", b"It is in %b."),
        (b"'%b' (%b)", b"'%b' (%b)"),
    ],
)
def test_text_is_rewritten(folder: Path, text: bytes, expected: bytes) -> None:
    """All occurrences of the path are replaced."""
    count = text.count(b"%b")
    assert moved(folder, text % ((OLD,) * count)) == expected % ((NEW,) * count)


@pytest.mark.parametrize("after", [b"2", b"-old", b"_x", b".bak", b"+gpu", b"~", "\u00e9".encode()])
def test_another_path_with_the_same_start_is_not_changed(folder: Path, after: bytes) -> None:
    """/home/me/envs/demo2 is not in this environment."""
    text = b"cd " + OLD + after + b"/bin\n"
    assert moved(folder, text) in (None, text)


@pytest.mark.parametrize("before", [b"/backup", b"see /mnt/old", b"https://lab.org"])
def test_a_longer_path_with_the_same_end_is_not_changed(folder: Path, before: bytes) -> None:
    """/backup/home/me/envs/demo is not this environment. A path up to the root may be."""
    text = before + OLD + b"/bin\n"
    assert moved(folder, text) in (None, text)
    assert moved(folder, b"\0" + text + b"\0") in (None, b"\0" + text + b"\0")
    assert moved(folder, b"../.." + OLD + b" file://localhost" + OLD) == b"../.." + NEW + b" file://localhost" + NEW


def test_a_string_with_a_length_is_not_changed(folder: Path) -> None:
    """Shorter text in a pickle, or in bytecode, would move the bytes that follow."""
    for data in (
        pickle.dumps([OLD.decode() + "/share", 1, "more"], 4) + bytes(8),
        bytes(16) + marshal.dumps(compile("x = 1", OLD.decode() + "/x.py", "exec")) + bytes(8),
    ):
        assert OLD in data
        assert moved(folder, data) in (None, data)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_rewritten(folder: Path, encoding: str) -> None:
    """Files for Windows have two bytes for each letter. A string in a binary keeps its length."""
    old, new, other = (text.encode(encoding) for text in (OLD.decode(), NEW.decode(), OLD.decode() + "2"))
    table = [(old, new)]
    tail = "/bin".encode(encoding)
    nul = bytes(2)
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b"\xfe\xff"
    assert moved(folder, mark + old + tail, table) == mark + new + tail
    padded = new + tail + bytes(len(old) - len(new))
    assert moved(folder, b"MZ" + nul + old + tail + nul + b"end", table) == b"MZ" + nul + padded + nul + b"end"
    assert moved(folder, mark + other + tail, table) in (None, mark + other + tail)


def test_a_binary_keeps_its_length(folder: Path) -> None:
    """The string ends at its NUL, and is padded with NULs. The bytes after it do not move."""
    data = b"\x7fELF\0" + OLD + b"/share:" + OLD + b"/lib\0tail\0"
    text = NEW + b"/share:" + NEW + b"/lib"
    new = moved(folder, data)
    assert new == b"\x7fELF\0" + text + bytes(2 * (len(OLD) - len(NEW)) + 1) + b"tail\0"
    assert len(new) == len(data)


def test_a_binary_is_not_changed_for_a_longer_path(folder: Path) -> None:
    """There is no space for the longer path, so the file is not changed."""
    assert moved(folder, b"\x7fELF\0/e/bin\0", [(b"/e", NEW)]) is None
    assert moved(folder, b"#!/e/bin/python\n", [(b"/e", NEW)]) == b"#!/opt/env/bin/python\n"


def test_a_path_without_an_end_in_a_binary_is_not_changed(folder: Path) -> None:
    """Without a NUL, it is not a string."""
    data = b"\0" + OLD + b"x" * relocate.LONGEST
    assert moved(folder, data + b"\0") in (None, data + b"\0")
    assert moved(folder, b"\0" + OLD) in (None, b"\0" + OLD)


def test_the_first_of_two_matching_paths_is_used(folder: Path) -> None:
    """A source folder inside the environment has its own place in the image."""
    table = [(OLD + b"/src/mine", b"/opt/src/mine"), (OLD, NEW)]
    text = OLD + b"/src/mine/a.py " + OLD + b"/src/other"
    assert moved(folder, text, table) == b"/opt/src/mine/a.py /opt/env/src/other"


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("at", range(-len(OLD) - 3, 4))
def test_a_path_across_two_chunks_is_found(folder: Path, at: int, binary: bool) -> None:
    """Files are read in chunks. A path can be at the end of one chunk and the start of the next."""
    head = (b"\0" if binary else b".") * (relocate.CHUNK + at)
    text = OLD + b"/bin/x"
    tail = b"\0tail" if binary else b"\ntail"
    room = bytes(len(OLD) - len(NEW)) if binary else b""
    assert moved(folder, head + text + tail) == head + NEW + b"/bin/x" + room + tail


@given(
    st.lists(st.sampled_from([OLD, OLD[:7], b"/opt", b"x", b"\n", b".", b"2", b" "]), max_size=40), st.integers(20, 64)
)
def test_the_size_of_the_chunks_does_not_change_the_result(parts: list[bytes], size: int) -> None:
    """For text, the result is the same as one replacement in the whole file."""
    import re
    import tempfile

    text = b"".join(parts)
    expected = re.sub(
        re.escape(OLD) + relocate._END,
        lambda match: match[0] if relocate._LONGER.search(text[: match.start()][-256:]) else NEW,
        text,
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(relocate, "CHUNK", size)
        assert (moved(Path(folder), text) or text) == expected


def test_a_large_file_is_never_loaded_into_memory(folder: Path) -> None:
    """A database or an archive of gigabytes can contain the path."""
    with (folder / "large").open("wb") as file:
        file.write(OLD + b"/bin\n")
        for _ in range(64):
            file.write(os.urandom(1 << 20).replace(b"\0", b"0"))
        file.write(b"\n" + OLD)  # after random bytes, it could be a part of a longer path
    tracemalloc.start()
    try:
        assert relocated(folder / "large", TABLE, folder / "target")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    with (folder / "target").open("rb") as file:
        assert file.read(13) == NEW + b"/bin\n"
        file.seek(-len(NEW), os.SEEK_END)
        assert file.read() == NEW


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/home/me/envs/demo", "/opt/env"),
        ("/home/me/envs/demo/lib/x", "/opt/env/lib/x"),
        ("/home/me/envs/demo2/lib", "/home/me/envs/demo2/lib"),
        ("../lib/x", "../lib/x"),
        ("/home/me/envs/demo/caf\udce9", "/opt/env/caf\udce9"),
    ],
)
def test_links_into_the_prefix_are_changed(target: str, expected: str) -> None:
    """The targets of other links do not change."""
    assert relocated_target(target, TABLE) == expected
