"""The overlay: one layer above the packages, with the content of an environment that no package archive has.

It contains pip's files, modified and untracked files, editable sources, requested files from outside of the
environment, packages whose archives are not available, and whiteouts for missing files. In each file the path of the
live prefix is replaced by the prefix of the image.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import posixpath
import re
import stat
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.linking.bytecode import compile_modules, source_of, source_time, uncompiled
from jupyter_condabuild.conda.linking.disk_places import LaidOut
from jupyter_condabuild.conda.linking.relocate import Replacement, relocated, relocated_target, relocated_text
from jupyter_condabuild.conda.linking.spellings import replacements
from jupyter_condabuild.conda.package_cache import hash_file
from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.secrets import scrub, scrub_json_bytes
from jupyter_condabuild.engines.layers.file_hashes import Rewritten, record_with_hashes, with_hashes
from jupyter_condabuild.engines.layers.import_hook import import_hook
from jupyter_condabuild.engines.layers.own_content import overlay_paths, untracked_paths
from jupyter_condabuild.engines.layers.places import editable_sources, names_of_places
from jupyter_condabuild.errors import OverlayTooLarge, PrefixError, from_os_error
from jupyter_condabuild.files import read_regular
from jupyter_condabuild.image.paths import PREFIX, PREFIX_IN_LAYER, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.planning.own_files.selection import OwnFiles
from jupyter_condabuild.system import names

_MTIME = layer.EPOCH + 2
"""The modification time of the overlay's files.

It differs from the time of all package files. With the same time, Python would use the bytecode of a package in a lower
layer for a changed module.
"""

_MOST_SETTINGS = 4 << 20
_LOGINS = (".condarc", "pip.conf", "direct_url.json")
"""Names of files that may contain the credentials of a channel or an index."""


@dataclass
class Overlay:
    """The entries of the overlay, and the size in bytes of the files that come from no package.

    `work` is the folder of the files that were written for this overlay: rewritten files and bytecode.
    """

    entries: list[Entry] = field(default_factory=list)
    extra_bytes: int = 0
    work: str = ""

    @property
    def fingerprint(self) -> str:
        """A hexadecimal digest that changes when an entry or its file changes.

        Files in `work` are compared by content, files of the environment by size, time and inode.
        """
        content = hashlib.sha256()
        hash_of = functools.cache(hash_file)
        for entry in self.entries:
            members: list[object] = [entry.path, entry.kind, entry.mode, entry.target, entry.mtime]
            if not entry.source:
                members.append(hashlib.sha256(entry.data).hexdigest())
            elif entry.source.startswith(f"{self.work}/"):
                members += [hash_of(Path(entry.source)), entry.offset, entry.size]
            else:
                status = os.stat(entry.source)
                members += [status.st_size, status.st_mtime_ns, status.st_ino]
            content.update(json.dumps(members).encode())
        return content.hexdigest()


def collect(
    environment: Environment,
    drift: Drift,
    taken: Sequence[PrefixRecord],
    own: OwnFiles,
    *,
    python: Path | None,
    work: Path,
    limit: int,
    all_clobbered: bool = False,
    laid: LaidOut | None = None,
) -> Overlay:
    """Returns the overlay: all content of an environment that the package layers lack.

    Args:
        taken: packages to copy completely from the live prefix, because their archives are not available.
        own: the selected files of editable sources and of places outside of the environment, and the paths of the
            environment that are left out.
        python: the interpreter that compiles the modules of the overlay. With None, or if it does not run, the modules
            have no bytecode.
        work: a folder for bytecode and rewritten files. It must exist until the layer is written.
        limit: the maximum size in bytes of the untracked files and editable sources together.
        all_clobbered: whether the overlay has all files that several packages bring, and not only those at which the
            environment differs from conda's rule. Other installers have other rules.
        laid: the files of the prefix, if they were laid out for it; None if the prefix has them as an installer does.

    Raises OverlayTooLarge with the largest folders, PrefixError for a file that cannot be read, or StoreError.
    """
    prefix = environment.prefix
    sources = editable_sources(environment)
    paths = overlay_paths(environment, drift, taken, own, all_clobbered=all_clobbered)
    untracked = untracked_paths(drift, own)

    overlay = Overlay(work=str(work))
    work.mkdir(parents=True, exist_ok=True)
    places = names_of_places(environment, own, [path for path in paths if path.startswith("bin/")])
    others = {str(old): new for old, new in own.outside.targets.items()}
    pairs = replacements(places)
    targets = replacements(others | places)
    known = (pairs, targets, work, prefix)
    live = _LivePrefix(*known) if laid is None else _LaidOutPrefix(*known, laid=laid)
    sizes: Counter[str] = Counter()
    for item in (*own.outside.taken, *own.built.taken):
        for name in item.files:
            with suppress(FileNotFoundError):
                _count(sizes, item.root / name, item.root.parent)
    if sizes[""] > limit:  # a link may lead to a disk full of data: it is not read first
        raise _too_large(sizes, limit)
    files: dict[str, Entry] = {}
    stale: set[str] = set()
    for path in sorted(paths, key=lambda path: (path.endswith(".pyc"), path)):
        entry = live.of_prefix(path)
        if entry is None:
            continue
        entry = replace(entry, mtime=_MTIME)
        if path in untracked and entry.kind == "file":
            _count(sizes, live.file(path), prefix, path)
        path = entry.path.removeprefix(f"{PREFIX_IN_LAYER}/")
        if path.endswith(".pyc") and (module := source_of(path)) in files:
            if entry.source in live.originals or files[module].source in live.originals:
                stale.add(path)  # it has paths of this machine; `_bytecode` compiles the source that the image has
                continue
            files[module] = replace(files[module], mtime=source_time(live.file(path)) or _MTIME)
        elif entry.source in live.originals and path.endswith(".pyc"):  # its strings have lengths: no path can change
            entry = replace(entry, source=str(live.originals[entry.source]))
        files[path] = entry
    rewritten = {
        path: Rewritten(live.originals[entry.source], Path(entry.source))
        for path, entry in files.items()
        if entry.source in live.originals
    }
    for path, entry in files.items() if rewritten else ():
        if path.endswith(".dist-info/RECORD") and entry.source:
            data = with_hashes(Path(entry.source).read_bytes(), posixpath.dirname(posixpath.dirname(path)), rewritten)
            files[path] = replace(entry, source="", data=data)
    overlay.entries += files.values()
    for source, target in sources.items():
        for name in own.sources.get(source, ()):
            entry = live.entry(f"{target}/{name}".removeprefix("/"), source / name, source)
            if entry:
                overlay.entries.append(entry)
                _count(sizes, source / name, source.parent)
    for item in (*own.outside.taken, *own.built.taken):
        for name, path in item.files.items():
            entry = live.entry(in_layer(path), item.root / name, item.root)
            if entry:
                overlay.entries.append(entry)
    for path, text in own.built.texts.items():
        data = os.fsencode(relocated_text(text, pairs))
        overlay.entries.append(Entry(f"{PREFIX_IN_LAYER}/{path}", data=data, mtime=_MTIME))
    overlay.entries += import_hook(own.outside, environment.site_packages)
    overlay.extra_bytes = sizes[""]
    if overlay.extra_bytes > limit:
        raise _too_large(sizes, limit)
    overlay.entries += _meta(environment, taken, lambda record: record_with_hashes(record, rewritten, stale))
    overlay.entries += _whiteouts(prefix, drift, paths)
    modules = uncompiled(path for path, entry in files.items() if entry.kind == "file")
    overlay.entries += _bytecode({path: files[path].source for path in modules}, python, work)
    return overlay


@dataclass
class _LivePrefix:
    """Makes layer entries from files of the live prefix. Files in which paths are replaced are written to `work`.

    `replacements` are for the content of files, `targets` for the targets of symbolic links.
    """

    replacements: Sequence[Replacement]
    targets: Sequence[Replacement]
    work: Path
    prefix: Path
    originals: dict[str, Path] = field(default_factory=dict)  # the file of the environment, by the file in `work`
    _real: dict[Path, Path] = field(default_factory=dict)

    def file(self, path: str) -> Path:
        """Returns the file of a path in the prefix."""
        return self.prefix / path

    def of_prefix(self, path: str) -> Entry | None:
        """Returns the entry of a path in the prefix; see `entry`."""
        return self.entry(f"{PREFIX_IN_LAYER}/{self.resolved(path, self.prefix)}", self.prefix / path, self.prefix)

    def resolved(self, path: str, root: Path) -> str:
        """Returns a path in `root` without links to other folders in `root`: a layer has no files below a link."""
        folder, real_root = self._realpath((root / path).parent), self._realpath(root)
        if not folder.is_relative_to(real_root):
            return path
        return str((folder / posixpath.basename(path)).relative_to(real_root))

    def entry(self, path: str, file: Path, root: Path) -> Entry | None:
        """Returns the entry of a file at a path of the layer.

        Args:
            root: the folder whose files may be read. A folder above the file may be a link to another folder in `root`.

        Returns None if the file is missing, or is neither a file nor a link nor a folder; drift has reported this.
        Raises PrefixError if the file cannot be read or is outside of `root`, or StoreError.
        """
        path = names.in_image(path)
        real_root, folder = self._realpath(root), self._realpath(file.parent)
        if not folder.is_relative_to(real_root):
            raise PrefixError(
                f"{file} is outside of {root}: a folder above it is a symbolic link.",
                "Put the files into the image (--include-outside), replace the link with a folder, or remove the "
                "package or the link.",
            )
        file = folder / file.name
        try:
            mode = file.lstat().st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(file)
                place = os.path.normpath(folder / target)
                if not Path(place).is_relative_to(real_root):  # from another folder, it would lead to another place
                    target = place
                return Entry(path, "symlink", 0o777, target=names.in_image(relocated_target(target, self.targets)))
            if stat.S_ISDIR(mode):
                return Entry(path, "directory", 0o755)
            if not stat.S_ISREG(mode):
                return None
            source = self._relocated(file, file.name)
            mode = 0o755 if mode & 0o111 else 0o644
            return Entry(path, mode=mode, mtime=_MTIME, source=source, root=str(real_root))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise PrefixError(
                f"{file} cannot be read, so that the image cannot contain it.", "Make the file readable, or remove it."
            ) from None
        except OSError as error:
            raise from_os_error(error, f"copying {file}") from None

    def _realpath(self, folder: Path) -> Path:
        if folder not in self._real:
            self._real[folder] = Path(os.path.realpath(folder))
        return self._real[folder]

    def _relocated(self, file: Path, name: str) -> str:
        """Returns the file, or a file in `work` with replaced paths and without credentials. `name` is its own name."""
        target = self.work / f"rewritten-{len(self.originals)}"
        source = target if relocated(file, self.replacements, target) else file
        if name in _LOGINS:
            data = source.read_bytes()
            clean = _clean(data, name)
            if clean != data:
                target.write_bytes(clean)
                source = target
        if source == target:
            self.originals[str(target)] = file
        return str(source)


@dataclass
class _LaidOutPrefix(_LivePrefix):
    """Makes layer entries from files that were laid out for a prefix, some of them under other names."""

    laid: LaidOut = field(kw_only=True)

    def file(self, path: str) -> Path:
        return Path(self.laid.files.get(path) or super().file(path))

    def of_prefix(self, path: str) -> Entry | None:
        place = names.in_image(f"{PREFIX_IN_LAYER}/{path}")
        if target := self.laid.links.get(path):
            return Entry(place, "symlink", 0o777, target=names.in_image(relocated_target(target, self.targets)))
        if path not in self.laid.files:
            return None
        try:
            source = self._relocated(Path(self.laid.files[path]), posixpath.basename(path))
        except OSError as error:
            raise from_os_error(error, f"copying {path}") from None
        return Entry(place, mode=0o755 if path in self.laid.executables else 0o644, source=source)


def _clean(data: bytes, name: str) -> bytes:
    """Returns the content of a file without credentials; in direct_url.json also without folders of this machine."""
    if name != "direct_url.json":
        return scrub(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return re.sub(rb'"file:///(?!opt/)[^"]*?([^/"]*)/?"', rb'"file:///\1"', scrub_json_bytes(data))


def _bytecode(modules: dict[str, str], python: Path | None, work: Path) -> Iterator[Entry]:
    """Compiles modules (path relative to the prefix: file) and yields the entries of their bytecode."""
    if not modules or python is None:
        return
    try:
        compiled = compile_modules(python, modules, str(work / "bytecode"), PREFIX, _MTIME)
    except (OSError, subprocess.CalledProcessError):
        return  # an interpreter that does not run here does not run in the image either: bytecode would be useless
    for pyc in compiled:
        yield Entry(f"{PREFIX_IN_LAYER}/{pyc.path}", source=pyc.file, offset=pyc.offset, size=pyc.size)


def _meta(
    environment: Environment,
    taken: Iterable[PrefixRecord],
    in_image: Callable[[PrefixRecord], Mapping[str, Any]],
) -> Iterator[Entry]:
    """Yields the records of packages that are copied from the prefix, and the files in conda-meta that conda obeys.

    The file `state` is left out, because its environment variables may contain secrets.
    """
    folder = environment.prefix / "conda-meta"
    for record in taken:
        raw = {
            key: value
            for key, value in in_image(record).items()
            if key not in ("link", "extracted_package_dir", "package_tarball_full_path")
        }
        data = scrub_json_bytes(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode())
        yield Entry(f"{PREFIX_IN_LAYER}/conda-meta/{record.dist}.json", data=data)
    for name in ("pinned", "frozen"):
        with suppress(OSError):  # the file is optional; a link or a pipe is not conda's
            text = read_regular(folder / name, _MOST_SETTINGS).decode("utf-8", "surrogateescape")
            data = scrub(text).encode("utf-8", "surrogateescape")
            yield Entry(f"{PREFIX_IN_LAYER}/conda-meta/{name}", data=data)


def _whiteouts(prefix: Path, drift: Drift, present: set[str]) -> Iterator[Entry]:
    """Yields whiteouts for the files of packages that are missing in the prefix.

    If a whole folder is missing, the whiteout is for the topmost missing folder. Otherwise the folder would remain with
    its bytecode, and Python would import it as an empty package.
    """
    missing = set()
    root = os.path.realpath(prefix)
    for file in drift.missing:
        path = file.path
        if path in present:
            continue
        while (folder := path.rpartition("/")[0]) and not os.path.lexists(prefix / folder):
            path = folder
        if os.path.isdir(prefix / folder):  # a layer cannot have a whiteout below a file or a link
            real = os.path.relpath(os.path.realpath(prefix / folder), root)
            missing.add(posixpath.normpath(f"{real}/{posixpath.basename(path)}"))
    for path in sorted(missing):
        yield Entry(f"{PREFIX_IN_LAYER}/{path}", "whiteout")


def _count(sizes: Counter[str], file: Path, root: Path, path: str = "") -> None:
    """Adds the size of a file to the total (under the empty name) and to its folders of the first two levels.

    Args:
        path: the path of the file below `root`, if the disk has the file elsewhere.
    """
    size = file.lstat().st_size
    parts = (Path(path) if path else file.relative_to(root)).parts[:-1][:2]
    for depth in range(len(parts) + 1):
        sizes["/".join(parts[:depth])] += size


def _too_large(sizes: Counter[str], limit: int) -> OverlayTooLarge:
    largest = [f"{name or '(top)'} {size / 1e6:,.0f} MB" for name, size in sizes.most_common(6) if name]
    return OverlayTooLarge(
        f"The files that belong to no package have {sizes[''] / 1e6:,.0f} MB; the limit is {limit / 1e6:,.0f} MB. "
        f"The largest folders: {', '.join(largest) or 'none, all files are at the top'}."
    )
