"""Checks whether the files of a prefix are as its records describe them, and reads as few files as possible.

A file is not read if it is provably the file in the package cache: it has the same inode, and nothing wrote to it after
the package was extracted. An edit in place changes the file under both paths, but it also changes the modification
time, so the edited file is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from jupyter_condabuild.conda.linking import entry_points
from jupyter_condabuild.conda.linking.clobbers import original_path
from jupyter_condabuild.conda.package_cache import default_folders
from jupyter_condabuild.conda.prefix.records import PathsEntry, PrefixRecord
from jupyter_condabuild.conda.prefix.walk import DEVICE, INODE, LINKS, MODE, MTIME_NS, SIZE, Status
from jupyter_condabuild.conda.prefix.walk import status as status_of
from jupyter_condabuild.files import read_regular
from jupyter_condabuild.system import opening

State = Literal["same", "modified", "missing", "unreadable"]
Progress = Callable[[int, int], None]

_BUFFER = 1 << 20
_MOST_POINTS = 4 << 20
_BATCH_BYTES, _BATCH_FILES = 8 << 20, 200
_local = threading.local()


class Expected(NamedTuple):
    """A path of the prefix and the file that the records expect there.

    `package` is the name of a package with this path. `entries` has several items if several packages have this path:
    any of them may have written the file. `cached` is the file in the package cache, or empty, and `extracted_ns` is
    the time when it was extracted (nanoseconds since the epoch). `targets` are the ``module:function`` of a script
    without a hash; empty if they are not known.
    """

    path: str
    package: str
    entries: tuple[PathsEntry, ...]
    cached: str = ""
    extracted_ns: int = 0
    targets: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """The result of the check of one path.

    `size` is the size of the file in the prefix, or the size in the record if the file is missing. `size` and
    `bytes_read` are in bytes.
    """

    expected: Expected
    state: State
    size: int
    bytes_read: int = 0


def expectations(prefix: Path, records: Iterable[PrefixRecord], *, trust_cache: bool = True) -> Collection[Expected]:
    """Returns the paths that the records expect in the prefix.

    Args:
        trust_cache: whether to look for the packages in the package caches, so that `verify` reads fewer files.
    """
    by_path: dict[str, Expected] = {}
    folders = default_folders(prefix) if trust_cache else ()
    for record in records:
        cache, extracted_ns = _extracted(record, folders) if trust_cache else ("", 0)
        names = _names_in_package(record) if cache else ()
        scripts = _scripts(prefix, record, cache)
        for number, entry in enumerate(record.paths):
            earlier = by_path.get(entry.path)
            entries = (*earlier.entries, entry) if earlier else (entry,)
            cached = f"{cache}/{names[number]}" if cache and not earlier else ""
            targets = (*(earlier.targets if earlier else ()), *scripts.get(entry.path, ()))
            by_path[entry.path] = Expected(entry.path, record.name, entries, cached, extracted_ns, targets)
    return by_path.values()


def _extracted(record: PrefixRecord, folders: Sequence[Path]) -> tuple[str, int]:
    """Returns the folder of the package in a package cache, and the time when the package was extracted.

    The time is in nanoseconds since the epoch. A file with a later modification time may have been changed.
    The folder is empty if there is none.
    """
    stem = record.fn.removesuffix(".conda").removesuffix(".tar.bz2")
    candidates = [record.extracted_package_dir] if record.extracted_package_dir else []
    for folder in (*candidates, *(str(folder / stem) for folder in folders)):
        try:  # index.json is never linked, so its ctime is the time when the package was extracted
            times = [os.stat(f"{folder}/info/index.json").st_ctime_ns, os.stat(record.source).st_mtime_ns]
        except OSError:
            continue
        with contextlib.suppress(OSError):  # conda writes this file after the extraction, rattler does not
            times.append(os.stat(f"{folder}/info/repodata_record.json").st_mtime_ns)
        return folder, min(times)
    return "", 0


def _scripts(prefix: Path, record: PrefixRecord, cache: str) -> dict[str, tuple[str, ...]]:
    """Returns the ``module:function`` of the scripts that have no hash in the record of conda, by path.

    They come from the package, or else from the metadata of its distribution, which has a hash.
    """
    if not any(_is_script(entry) for entry in record.paths):
        return {}
    points: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):
        points = entry_points.of_link_json(json.loads(read_regular(Path(cache, "info/link.json"), _MOST_POINTS)))
    for path in record.files if not points else ():
        if path.endswith(".dist-info/entry_points.txt"):
            with contextlib.suppress(OSError, ValueError):
                text = read_regular(prefix / path, _MOST_POINTS, follow=True).decode()
                points |= entry_points.of_entry_points_txt(text)
    return {f"bin/{command}": (target,) for command, target in points.items()}


def _is_script(entry: PathsEntry) -> bool:
    return entry.kind == "unix_python_entry_point" and not entry.expected_sha256


def _names_in_package(record: PrefixRecord) -> list[str]:
    """Returns `record.paths` as the package has them: a noarch Python package has no folder above site-packages."""
    paths = [original_path(entry.path) for entry in record.paths]
    if record.noarch != "python":
        return paths
    return [f"site-packages/{rest}" if (rest := path.partition("/site-packages/")[2]) else path for path in paths]


def verify(
    prefix: Path,
    expected: Collection[Expected],
    statuses: Mapping[str, Status | None],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Verdict]:
    """Yields a verdict for each expected path, in any order.

    Args:
        statuses: the file statuses of the prefix by path, as far as they are known.
        workers: the number of threads that read and hash. Default: two for each processor.
        progress: called from this thread with the number of bytes done and the total number of bytes. Both are sums of
            the sizes in the records.
    """
    root = str(prefix)
    total = sum(_size(item) for item in expected)
    unread = []
    for item in expected:
        status = statuses.get(item.path)
        if status and _is_cached(status, item):
            yield Verdict(item, "same", status[SIZE])
        else:
            unread.append(item)
    done = total - sum(_size(item) for item in unread)
    if progress:
        progress(done, total)
    with ThreadPoolExecutor(workers or 2 * (os.cpu_count() or 1), "verify") as pool:
        try:
            for verdicts in pool.map(lambda batch: [_verdict(root, item) for item in batch], _batches(unread)):
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
    for item in expected:
        batch.append(item)
        size += _size(item)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def is_as_expected(prefix: Path, expected: Expected | None) -> bool:
    """Whether the prefix has the file that a package brings, at its path."""
    return expected is not None and _verdict(str(prefix), expected).state == "same"


def _verdict(root: str, expected: Expected) -> Verdict:
    path = f"{root}/{expected.path}"
    try:
        status = status_of(os.lstat(path))
    except OSError as error:
        state: State = "unreadable" if isinstance(error, PermissionError) else "missing"
        return Verdict(expected, state, _size(expected))
    try:
        same, read = _same(root, path, status, expected)
    except FileNotFoundError:
        return Verdict(expected, "missing", _size(expected))
    except OSError:
        return Verdict(expected, "unreadable", status[SIZE])
    return Verdict(expected, "same" if same else "modified", status[SIZE], read)


def _same(root: str, path: str, status: Status, expected: Expected) -> tuple[bool, int]:
    """Returns whether the file matches one of the entries, and the number of bytes that were read."""
    if stat.S_ISLNK(status[MODE]):
        return _same_link(path, expected), 0
    if stat.S_ISDIR(status[MODE]):
        return any(entry.kind == "directory" for entry in expected.entries), 0
    if not stat.S_ISREG(status[MODE]):
        return False, 0
    candidates = [entry for entry in expected.entries if entry.kind not in ("softlink", "directory")]
    sums = {entry.expected_sha256 for entry in candidates if _may_have_size(entry, status[SIZE])}
    # with always_softlink, conda copies executable files, and its record calls every file a link
    if not os.path.islink(expected.cached):
        sums |= {entry.sha256 for entry in expected.entries if entry.kind == "softlink" and entry.size == status[SIZE]}
    if not sums:
        return False, 0
    if any(_is_script(entry) for entry in candidates) and _is_as_written(root, path, status, expected):
        return True, status[SIZE]
    if any(not entry.expected_sha256 and not _is_script(entry) for entry in candidates):
        return True, 0  # the record has no hash, as for bytecode
    if _is_cached(status, expected):
        return True, 0
    return _sha256(path, status[SIZE]) in sums, status[SIZE]


def _is_as_written(root: str, path: str, status: Status, expected: Expected) -> bool:
    """Whether a file is the script that an installer writes for the entry point of a package.

    If the entry point is not known, any entry point is accepted in a script of the recorded size. The script of an
    environment that was moved names a Python that does not exist. It counts as unchanged.
    """
    sizes = {entry.size for entry in expected.entries if _is_script(entry)}
    if not expected.targets and sizes.isdisjoint((None, status[SIZE])):
        return False
    try:
        script = entry_points.read(path)
    except OSError:
        return False
    if script is None or (expected.targets and script.target not in expected.targets):
        return False
    folder = os.path.dirname(script.python)
    return not os.path.exists(folder) or os.path.realpath(folder) == os.path.realpath(f"{root}/bin")


def _may_have_size(entry: PathsEntry, size: int) -> bool:
    """Whether the linked file of an entry may have this size. A rewritten file may have any size."""
    rewritten = entry.placeholder or entry.kind != "hardlink" or entry.sha256_in_prefix not in ("", entry.sha256)
    return bool(rewritten) or entry.size is None or entry.size == size


def _is_cached(status: Status, expected: Expected) -> bool:
    """Whether a file is provably the unchanged file in the package cache."""
    entry = expected.entries[-1]
    if (
        not expected.cached
        or status[LINKS] < 2
        or status[MTIME_NS] > expected.extracted_ns
        or status[SIZE] != entry.size
        or entry.placeholder
        or not stat.S_ISREG(status[MODE])
    ):
        return False
    try:
        cached = os.lstat(expected.cached)
    except OSError:
        return False
    return (cached.st_ino, cached.st_dev) == (status[INODE], status[DEVICE])


def _same_link(path: str, expected: Expected) -> bool:
    """Whether a symbolic link is as expected.

    Records do not contain the target of a link, so the link in the package cache is compared. Without that link, any
    target is accepted. With allow_softlinks or always_softlink, conda writes a link to the file in the package cache.
    """
    target = os.readlink(path)
    sums = {entry.sha256 for entry in expected.entries if entry.kind in ("hardlink", "softlink")} - {""}
    if expected.cached and target == expected.cached:
        status = os.stat(path)
        unchanged = status.st_mtime_ns <= expected.extracted_ns and status.st_size == expected.entries[-1].size
        return unchanged or _sha256(path, status.st_size) in sums
    if not any(entry.kind == "softlink" for entry in expected.entries):
        return False
    try:
        return not expected.cached or os.readlink(expected.cached) == target
    except OSError:  # the package has a file here, or the package cache has lost it
        return not os.path.lexists(expected.cached)


def _sha256(path: str, size: int) -> str:
    """Returns the hexadecimal digest of a file with about `size` bytes.

    Each thread reads into one buffer: most files are small, and allocation would take most of the time.
    """
    buffer: memoryview | None = getattr(_local, "buffer", None)
    if buffer is None:
        buffer = _local.buffer = memoryview(bytearray(_BUFFER))
    content = hashlib.sha256()
    file = os.open(path, opening.READ)
    try:
        while count := opening.read_into(file, buffer):
            content.update(buffer[:count])
            size -= count
            if size <= 0 and count < len(buffer):  # end of file: another read is not necessary
                break
    finally:
        os.close(file)
    return content.hexdigest()
