"""The overlay: what of an environment comes from no package archive, as one layer on top of the packages.

pip's files, modified and untracked files, editable sources, packages whose archive cannot be had, and whiteouts for
files that are gone; each with the live prefix's path replaced by the image's.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import stat
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from jupyter_condabuild.conda.linking.bytecode import compile_modules, source_of, source_time, uncompiled
from jupyter_condabuild.conda.linking.relocate import Replacement, relocated, relocated_target
from jupyter_condabuild.conda.package_cache import hash_file
from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.secrets import scrub, scrub_json_bytes
from jupyter_condabuild.engines.layers.workspace import ENVIRONMENT_MARKS, IGNORED_FOLDERS
from jupyter_condabuild.errors import OverlayTooLarge, PrefixError, from_os_error
from jupyter_condabuild.image.paths import PREFIX, PREFIX_IN_LAYER, SOURCES
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry

_MTIME = layer.EPOCH + 2
"""Of the overlay's files: not the time of any package's, or Python would take older bytecode below for theirs."""

_LOGINS = (".condarc", "pip.conf", "direct_url.json")
"""Names of files that may hold the credentials of a channel or an index."""


@dataclass
class Overlay:
    """The entries of the overlay, and the bytes that come from no package.

    `made` is the folder that holds what was written for this overlay alone.
    """

    entries: list[Entry] = field(default_factory=list)
    extra_bytes: int = 0
    made: str = ""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal; changes whenever an entry or a file behind one does, by size and time where it is not read."""
        content = hashlib.sha256()
        made = functools.cache(hash_file)
        for entry in self.entries:
            about: list[object] = [entry.path, entry.kind, entry.mode, entry.target, entry.mtime]
            if not entry.source:
                about.append(hashlib.sha256(entry.data).hexdigest())
            elif entry.source.startswith(f"{self.made}/"):
                about += [made(Path(entry.source)), entry.offset, entry.size]
            else:
                status = os.stat(entry.source)
                about += [status.st_size, status.st_mtime_ns, status.st_ino]
            content.update(json.dumps(about).encode())
        return content.hexdigest()


def collect(
    environment: Environment,
    drift: Drift,
    taken: Sequence[PrefixRecord],
    *,
    python: Path | None,
    work: Path,
    limit: int,
) -> Overlay:
    """Everything that the package layers lack.

    Args:
        taken: packages to copy whole from the live prefix, since their archives cannot be had.
        python: the interpreter that compiles the overlay's modules; None, or one that does not run, leaves them without
            bytecode.
        work: a folder for bytecode and rewritten files, kept until the layer is written.
        limit: bytes that untracked files and editable sources may have together.

    Raises OverlayTooLarge, naming the largest folders, PrefixError for a file that cannot be read, and StoreError.
    """
    prefix = environment.prefix
    sources = {
        distribution.editable_source: f"{SOURCES}/{distribution.package.name}"
        for distribution in environment.pip
        if distribution.editable_source is not None
    }
    inside: set[str] = set()
    for distribution in environment.pip:
        inside |= {path for path in distribution.files if not path.endswith(".pyc")}
    for record in taken:
        inside |= {entry.path for entry in record.paths if entry.kind != "pyc_file"}
    untracked = {file.path for file in drift.untracked}
    inside |= untracked | {file.path for file in drift.modified}

    overlay = Overlay(made=str(work))
    work.mkdir(parents=True, exist_ok=True)
    live = _LivePrefix(_replacements({prefix: PREFIX, **sources}), work)
    sizes: Counter[str] = Counter()
    modules: dict[str, str] = {}
    times = {source_of(path): source_time(prefix / path) for path in inside if path.endswith(".pyc")}
    for path in sorted(inside):
        entry = live.entry(f"{PREFIX_IN_LAYER}/{path}", prefix / path)
        if entry is None:
            continue
        overlay.entries.append(replace(entry, mtime=times.get(path) or _MTIME))
        if path in untracked:
            _count(sizes, prefix / path, prefix)
        if entry.kind == "file":
            modules[path] = str(prefix / path)
    for source, target in sources.items():
        for file in _walk(source):
            entry = live.entry(f"{target}/{file.relative_to(source)}".removeprefix("/"), file)
            if entry:
                overlay.entries.append(entry)
                _count(sizes, file, source.parent)
    overlay.extra_bytes = sizes[""]
    if overlay.extra_bytes > limit:
        raise _too_large(sizes, limit)
    overlay.entries += _meta(environment, taken)
    overlay.entries += _whiteouts(prefix, drift, inside)
    overlay.entries += _bytecode({path: modules[path] for path in uncompiled(modules)}, python, work)
    return overlay


def _replacements(places: dict[Path, str]) -> list[Replacement]:
    """Old paths and new ones, also as they are spelt in URLs; the longer first, since one may lie in the other."""
    spelt = {os.fsencode(str(old)): new.encode() for old, new in places.items()}
    spelt |= {quote(os.fsencode(str(old))).encode(): new.encode() for old, new in places.items()}
    return sorted(spelt.items(), key=lambda pair: -len(pair[0]))


@dataclass
class _LivePrefix:
    """Files of the live environment to entries, with `replacements` made; what is rewritten lies in `work`."""

    replacements: Sequence[Replacement]
    work: Path
    _written: int = 0

    def entry(self, path: str, file: Path) -> Entry | None:
        """None for what is gone, or is neither file, link nor folder; drift has said so already."""
        try:
            mode = file.lstat().st_mode
            if stat.S_ISLNK(mode):
                return Entry(path, "symlink", 0o777, target=relocated_target(os.readlink(file), self.replacements))
            if stat.S_ISDIR(mode):
                return Entry(path, "directory", 0o755)
            if not stat.S_ISREG(mode):
                return None
            return Entry(path, mode=0o755 if mode & 0o111 else 0o644, mtime=_MTIME, source=self._relocated(file))
        except FileNotFoundError:
            return None
        except PermissionError:
            raise PrefixError(
                f"{file} cannot be read, and so cannot be in the image.", "Make it readable, or remove it."
            ) from None
        except OSError as error:
            raise from_os_error(error, f"copying {file}") from None

    def _relocated(self, file: Path) -> str:
        target = self.work / f"rewritten-{self._written}"
        source = target if relocated(file, self.replacements, target) else file
        if file.name in _LOGINS:
            data = source.read_bytes()
            clean = _clean(data, file.name)
            if clean != data:
                target.write_bytes(clean)
                source = target
        self._written += source == target
        return str(source)


def _clean(data: bytes, name: str) -> bytes:
    """Without credentials; a wheel's or project's folder on this machine is nobody else's business either."""
    if name != "direct_url.json":
        return scrub(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return re.sub(rb'"file:///(?!opt/)[^"]*?([^/"]*)/?"', rb'"file:///\1"', scrub_json_bytes(data))


def _bytecode(modules: dict[str, str], python: Path | None, work: Path) -> Iterator[Entry]:
    if not modules or python is None:
        return
    try:
        compiled = compile_modules(python, modules, str(work / "bytecode"), PREFIX, _MTIME)
    except (OSError, subprocess.CalledProcessError):  # a Python that does not run here runs no slower there
        return
    for pyc in compiled:
        yield Entry(f"{PREFIX_IN_LAYER}/{pyc.path}", source=pyc.file, offset=pyc.offset, size=pyc.size)


def _is_ignored(folder: Path) -> bool:
    """Caches, and environments: a project may hold the very one that is being built."""
    return folder.name in IGNORED_FOLDERS or any((folder / name).exists() for name in ENVIRONMENT_MARKS)


def _walk(folder: Path) -> Iterator[Path]:
    """The files of an editable source, less what no import needs."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_ignored(Path(parent, name)))
        yield from (Path(parent, name) for name in sorted(files) if not name.endswith(".pyc"))


def _meta(environment: Environment, taken: Iterable[PrefixRecord]) -> Iterator[Entry]:
    """conda-meta of what was taken from the prefix, and the files there that conda obeys. `state` stays: secrets."""
    folder = environment.prefix / "conda-meta"
    for record in taken:
        raw = {
            key: value
            for key, value in record.raw.items()
            if key not in ("link", "extracted_package_dir", "package_tarball_full_path")
        }
        data = scrub_json_bytes(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
        yield Entry(f"{PREFIX_IN_LAYER}/conda-meta/{record.dist}.json", data=data)
    for name in ("pinned", "frozen"):
        file = folder / name
        if file.is_file():
            yield Entry(
                f"{PREFIX_IN_LAYER}/conda-meta/{name}",
                data=scrub(file.read_text("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"),
            )


def _whiteouts(prefix: Path, drift: Drift, present: set[str]) -> Iterator[Entry]:
    """What packages brought and the prefix no longer has; of folders that are gone the topmost.

    Without its files a folder of bytecode would still be a package to Python, an empty one.
    """
    gone = set()
    for file in drift.missing:
        path = file.path
        if path in present:
            continue
        while (folder := path.rpartition("/")[0]) and not os.path.lexists(prefix / folder):
            path = folder
        gone.add(path)
    for path in sorted(gone):
        yield Entry(f"{PREFIX_IN_LAYER}/{path}", "whiteout")


def _count(sizes: Counter[str], file: Path, root: Path) -> None:
    """Adds a file's size to the total, under the empty name, and to its folders of the first two levels."""
    size = file.lstat().st_size
    parts = file.relative_to(root).parts[:-1][:2]
    for depth in range(len(parts) + 1):
        sizes["/".join(parts[:depth])] += size


def _too_large(sizes: Counter[str], limit: int) -> OverlayTooLarge:
    largest = [f"{name or '(top)'} {size / 1e6:,.0f} MB" for name, size in sizes.most_common(6) if name]
    return OverlayTooLarge(
        f"Files that belong to no package have {sizes[''] / 1e6:,.0f} MB, more than the {limit / 1e6:,.0f} MB allowed. "
        f"The largest folders: {', '.join(largest) or 'none, the files lie at the top'}."
    )
