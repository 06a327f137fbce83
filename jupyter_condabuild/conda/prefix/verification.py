"""Whether the files of a prefix are what its records say, read as little and as fast as that can be told.

A file is not read when it is provably the package cache's own: the same inode, not written to since the package was
extracted. An edit in place changes both names, but it changes the time as well, and so such a file is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from jupyter_condabuild.conda.package_cache import default_folders
from jupyter_condabuild.conda.prefix.records import PathsEntry, PrefixRecord
from jupyter_condabuild.conda.prefix.walk import DEVICE, INODE, LINKS, MODE, MTIME_NS, SIZE, Status
from jupyter_condabuild.conda.prefix.walk import status as status_of

State = Literal["same", "modified", "missing", "unreadable"]
Progress = Callable[[int, int], None]

_BUFFER = 1 << 20
_BATCH_BYTES, _BATCH_FILES = 8 << 20, 200
_local = threading.local()


class Expected(NamedTuple):
    """A path of the prefix and what may lie there: several entries where packages clobber each other.

    `cached` is the package cache's copy, if there is one, and `extracted_ns` when that was extracted.
    """

    path: str
    package: str
    entries: tuple[PathsEntry, ...]
    cached: str = ""
    extracted_ns: int = 0


class Verdict(NamedTuple):
    """What was found; `size` in bytes is of what lies there, or, where nothing does, of what should."""

    expected: Expected
    state: State
    size: int
    bytes_read: int = 0


def expectations(prefix: Path, records: Iterable[PrefixRecord], *, trust_cache: bool = True) -> Collection[Expected]:
    """What should lie in the prefix."""
    found: dict[str, Expected] = {}
    folders = default_folders(prefix) if trust_cache else ()
    for record in records:
        cache, extracted_ns = _extracted(record, folders) if trust_cache else ("", 0)
        names = _names_in_package(record) if cache else ()
        for number, entry in enumerate(record.paths):
            known = found.get(entry.path)
            entries = (*known.entries, entry) if known else (entry,)
            cached = f"{cache}/{names[number]}" if cache and not known else ""
            found[entry.path] = Expected(entry.path, record.name, entries, cached, extracted_ns)
    return found.values()


def _extracted(record: PrefixRecord, folders: Sequence[Path]) -> tuple[str, int]:
    """The package's folder in a package cache, and the latest time at which its files may have been written."""
    stem = record.fn.removesuffix(".conda").removesuffix(".tar.bz2")
    candidates = [record.extracted_package_dir] if record.extracted_package_dir else []
    for folder in (*candidates, *(str(folder / stem) for folder in folders)):
        try:  # index.json is never linked, so that it has changed (ctime) last when the package was extracted
            times = [os.stat(f"{folder}/info/index.json").st_ctime_ns, os.stat(record.source).st_mtime_ns]
        except OSError:
            continue
        with contextlib.suppress(OSError):  # conda writes it after extraction, rattler does not
            times.append(os.stat(f"{folder}/info/repodata_record.json").st_mtime_ns)
        return folder, min(times)
    return "", 0


def _names_in_package(record: PrefixRecord) -> list[str]:
    """What `record.paths` are called in the package; noarch Python packages do not know where site-packages is."""
    if record.noarch != "python":
        return [entry.path for entry in record.paths]
    return [f"site-packages/{rest}" if rest else path for path, rest in map(_split_site_packages, record.paths)]


def _split_site_packages(entry: PathsEntry) -> tuple[str, str]:
    return entry.path, entry.path.partition("/site-packages/")[2]


def verify(
    prefix: Path,
    expected: Collection[Expected],
    lying: Mapping[str, Status | None],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Verdict]:
    """A verdict for each, in any order.

    Args:
        lying: the status of what lies in the prefix, as far as it is known.
        workers: threads that read and hash beside each other. Default: two a processor.
        progress: called with the bytes done and the bytes in all (those of the records), from this thread.
    """
    root = str(prefix)
    total = sum(_size(one) for one in expected)
    unread = []
    for one in expected:
        status = lying.get(one.path)
        if status and _is_cached(status, one):
            yield Verdict(one, "same", status[SIZE])
        else:
            unread.append(one)
    done = total - sum(_size(one) for one in unread)
    if progress:
        progress(done, total)
    with ThreadPoolExecutor(workers or 2 * (os.cpu_count() or 1), "verify") as pool:
        try:
            for verdicts in pool.map(lambda batch: [_verdict(root, one) for one in batch], _batches(unread)):
                yield from verdicts
                if progress:
                    done += sum(_size(verdict.expected) for verdict in verdicts)
                    progress(done, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _size(expected: Expected) -> int:
    return expected.entries[-1].size or 0


def _batches(expected: Sequence[Expected]) -> Iterator[list[Expected]]:
    batch: list[Expected] = []
    size = 0
    for one in expected:
        batch.append(one)
        size += _size(one)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _verdict(root: str, expected: Expected) -> Verdict:
    path = f"{root}/{expected.path}"
    try:
        found = status_of(os.lstat(path))
    except OSError as error:
        state: State = "unreadable" if isinstance(error, PermissionError) else "missing"
        return Verdict(expected, state, _size(expected))
    try:
        same, read = _same(path, found, expected)
    except FileNotFoundError:
        return Verdict(expected, "missing", _size(expected))
    except OSError:
        return Verdict(expected, "unreadable", found[SIZE])
    return Verdict(expected, "same" if same else "modified", found[SIZE], read)


def _same(path: str, found: Status, expected: Expected) -> tuple[bool, int]:
    """Whether one of the entries fits, and how many bytes were read to tell."""
    if stat.S_ISLNK(found[MODE]):
        return _same_link(path, expected), 0
    if stat.S_ISDIR(found[MODE]):
        return any(entry.kind == "directory" for entry in expected.entries), 0
    if not stat.S_ISREG(found[MODE]):
        return False, 0
    candidates = [entry for entry in expected.entries if entry.kind not in ("softlink", "directory")]
    sums = {entry.expected_sha256 for entry in candidates if _may_have_size(entry, found[SIZE])}
    if not sums or "" in sums:  # "": the record does not tell, as for bytecode and conda's entry points
        return bool(sums), 0
    if _is_cached(found, expected):
        return True, 0
    return _sha256(path, found[SIZE]) in sums, found[SIZE]


def _may_have_size(entry: PathsEntry, size: int) -> bool:
    """Only of a file that is linked as it is does the record know the size."""
    rewritten = entry.placeholder or entry.kind != "hardlink" or entry.sha256_in_prefix not in ("", entry.sha256)
    return bool(rewritten) or entry.size is None or entry.size == size


def _is_cached(found: Status, expected: Expected) -> bool:
    entry = expected.entries[-1]
    if (
        not expected.cached
        or found[LINKS] < 2
        or found[MTIME_NS] > expected.extracted_ns
        or found[SIZE] != entry.size
        or entry.placeholder
        or not stat.S_ISREG(found[MODE])
    ):
        return False
    try:
        cached = os.lstat(expected.cached)
    except OSError:
        return False
    return (cached.st_ino, cached.st_dev) == (found[INODE], found[DEVICE])


def _same_link(path: str, expected: Expected) -> bool:
    """Records do not tell where a link leads: the package cache does; without it any link will do."""
    target = os.readlink(path)
    if any(entry.kind == "softlink" for entry in expected.entries):
        if not expected.cached:
            return True
        try:
            return os.readlink(expected.cached) == target
        except OSError:
            return True
    # conda's allow_softlinks: a file of a package cache on another disk
    sums = {entry.expected_sha256 for entry in expected.entries if entry.kind == "hardlink"} - {""}
    return bool(expected.cached) and target == expected.cached and _sha256(path, 0) in sums


def _sha256(path: str, size: int) -> str:
    """Hexadecimal digest; reads into one buffer a thread, since most files are small and allocation is what costs."""
    buffer: memoryview | None = getattr(_local, "buffer", None)
    if buffer is None:
        buffer = _local.buffer = memoryview(bytearray(_BUFFER))
    content = hashlib.sha256()
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while count := os.readv(file, [buffer]):
            content.update(buffer[:count])
            size -= count
            if size <= 0 and count < len(buffer):  # no need to ask whether that was the end
                break
    finally:
        os.close(file)
    return content.hexdigest()
