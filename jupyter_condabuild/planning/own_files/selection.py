"""OwnFiles: the files of one image that belong to no package, after the files with credentials were left out.

The content of an environment that no package brings, the sources of editable installs and the user's folder are
selected here, before anything is built or sent, and the engines put exactly the selected files into the image.
"""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.editables import import_paths
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.outside import Inside
from jupyter_condabuild.conda.prefix.pip import PipDistribution
from jupyter_condabuild.errors import SecretsFound
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.own_files.built_files import BuiltFiles, built_files
from jupyter_condabuild.planning.own_files.credential_names import is_credential, is_credential_place
from jupyter_condabuild.planning.own_files.exclusion import Exclusion
from jupyter_condabuild.planning.own_files.ignore_files import SourceFiles, included_files, source_files
from jupyter_condabuild.planning.own_files.outside_files import OutsideFiles, Taken, dangling_links, outside_files
from jupyter_condabuild.planning.own_files.scanner import Finding, Scanner
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.system import owners
from jupyter_condabuild.text import agreeing, counted, listed

_EXAMPLES = frozenset(("test", "tests", "testing", "example", "examples", "doc", "docs"))
"""Folders of a distribution from a package index in which all secrets are examples."""


@dataclass(frozen=True)
class OwnFiles:
    """The user's own files of one image.

    `withheld` are the paths of the environment, relative to its prefix, that are left out. `sources` maps the folder of
    each editable install to its files. `included` are the names of files and folders of the user's folder; all names
    are relative to their folder. `left_out` are the paths on this machine of all files that are left out because their
    names or modes say that they hold credentials. `findings` are the secrets in the other files, without those that the
    request allows. `outside` are the files outside of the environment that it uses, and
    `built` the built files of editable installs. `excluded` are the sizes of the files outside of the environment that
    the user leaves out.
    """

    withheld: frozenset[str] = frozenset()
    sources: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    included: frozenset[str] = frozenset()
    left_out: tuple[Path, ...] = ()
    findings: tuple[Finding, ...] = ()
    unsearched: int = 0
    outside: OutsideFiles = field(default_factory=OutsideFiles)
    built: BuiltFiles = field(default_factory=BuiltFiles)
    excluded: Mapping[Path, int] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """Warnings of files outside of the environment, of left-out files, and of files that were not searched."""
        found = [*self.outside.warnings(), *self.built.warnings]
        if self.left_out:
            files, names = counted(self.left_out, "file"), listed(list(map(str, self.left_out)))
            found.append(
                Warning(
                    "credentials-left-out",
                    f"{files} for credentials {agreeing(self.left_out, 'is', 'are')} not in the image: {names}.",
                    "To put such a file into the image, add --allow-secret PATH.",
                )
            )
        if self.unsearched:
            found.append(
                Warning(
                    "secrets-not-searched",
                    f"The search for secrets took too long and left out {counted(self.unsearched, 'file')}.",
                    "Move data out of the environment and out of the folders that the image includes.",
                )
            )
        return tuple(found)

    @property
    def refusal(self) -> SecretsFound | None:
        """The error of a build with findings; None without findings."""
        if not self.findings:
            return None
        files = dict.fromkeys(finding.path for finding in self.findings)
        names = listed(list(map(str, self.findings)))
        return SecretsFound(f"{counted(files, 'file')} may contain secrets: {names}.")


def own_files(
    request: PlanRequest,
    environment: Environment | None,
    drift: Drift | None,
    store: Store,
    report: Report,
    exclusion: Exclusion | None = None,
) -> OwnFiles:
    """Selects the user's own files and searches them for secrets.

    Args:
        drift: the differences between the environment and its records; None without an environment.
        store: remembers which files were searched without findings.
        exclusion: what the user leaves out of folders outside of the environment.

    Raises the errors of `outside_files`.
    """
    exclusion = exclusion or Exclusion(())
    allowed = _Allowed(request.allow_secret, [request.prefix, request.include])
    withheld: list[str] = []
    left_out: list[Path] = []
    findings: list[Finding] = []
    sources: dict[Path, tuple[str, ...]] = {}
    included: set[str] = set()
    outside, built = OutsideFiles(), BuiltFiles()
    scanner = Scanner(store, str((request.prefix or request.lockfile or "", request.include or "")))
    if environment and drift is not None:
        prefix = environment.prefix
        for distribution in environment.pip:
            found = scanner.search(
                prefix, [path for path in distribution.files if not path.endswith(".pyc")], scrubbed=True
            )
            findings += _without_examples(found, distribution, prefix)
        untracked = [entry.path for entry in drift.untracked]
        withheld = [name for name in untracked if _is_private(prefix, name) and not allowed(prefix / name)]
        left_out += [prefix / name for name in withheld]
        kept = set(untracked).difference(withheld) | {entry.path for entry in drift.modified}
        findings += scanner.search(prefix, sorted(kept), scrubbed=True)
        imported: dict[Path, list[Path]] = {}
        for distribution in environment.pip:
            if distribution.editable_source:
                imported.setdefault(distribution.editable_source, []).extend(import_paths(prefix, distribution))
        for source in imported:
            files = source_files(source, imported[source])
            _report_ignored(source, files, report)
            rest = exclusion.keep(source, files.kept)
            private = {name for name in rest if _is_private(source, name) and not allowed(source / name)}
            left_out += [source / name for name in sorted(private)]
            sources[source] = tuple(name for name in rest if name not in private)
            findings += scanner.search(source, sources[source])
        outside = outside_files(request, environment, drift)
        built = built_files(environment, request.allow_prefixes, outside)

        def without_private(item: Taken) -> Taken:
            kept = exclusion.keep(item.root, tuple(item.files))
            private = {
                name for name in kept if _is_private(item.root, name, outside=True) and not allowed(item.root / name)
            }
            left_out.extend(item.root / name for name in sorted(private))
            files = {name: item.files[name] for name in kept if name not in private}
            findings.extend(scanner.search(item.root, sorted(files)))
            return replace(item, files=files)

        outside = replace(outside, taken=tuple(map(without_private, outside.taken)))
        built = replace(built, taken=tuple(map(without_private, built.taken)))
        folders = [*sources.items(), *((item.root, item.files) for item in outside.taken)]
        inside = Inside([prefix, *sources, *(item.place.path for item in outside.taken)])
        outside = replace(outside, dangling=(*outside.dangling, *dangling_links(folders, inside)))
    if request.include:
        folder, included = included_files(request.include)
        above = folder.resolve().name  # someone may include the folder .ssh itself
        private = {
            name
            for name in included
            if (_is_private(folder, name) or is_credential(f"{above}/{name}")) and not allowed(folder / name)
        }
        left_out += [folder / name for name in sorted(private) if not (folder / name).is_dir()]
        included -= private
        findings += scanner.search(folder, sorted(included))
    scanner.remember()
    return OwnFiles(
        frozenset(withheld),
        sources,
        frozenset(included),
        tuple(left_out),
        tuple(sorted(finding for finding in findings if not allowed(finding.path))),
        scanner.unsearched,
        outside,
        built,
        exclusion.files,
    )


class _Allowed:
    """The files of --allow-secret, each an absolute path, or a path in the current folder, the prefix or --include.

    A folder stands for all files below it.
    """

    def __init__(self, given: Iterable[str], folders: Iterable[Path | None]) -> None:
        places = [Path.cwd(), *(folder.absolute() for folder in folders if folder)] if given else []
        self._paths = {os.path.normpath(place / path) for path in given for place in places}

    def __call__(self, path: Path) -> bool:
        return any(str(place) in self._paths for place in (path, *path.parents)) if self._paths else False


def _is_private(root: Path, name: str, *, outside: bool = False) -> bool:
    """Whether the name or the mode of a file says that the file holds credentials.

    The mode says so if only the owner may read the file, in a folder that others may read: with a umask of 077, the
    folder would be private, too. Outside of the environment, it also says so if only accounts of the system may read
    the file, as `/etc/shadow`: the user is a member of such a group, or is root. A shared environment may belong to
    such a group, and the umask of root may be 077: files of the environment, and of root's home folder, do not count.

    Args:
        outside: whether the folder `root` is outside of the environment. The path of the folder then counts, too.
    """
    file = root / name
    if is_credential(name) or (outside and is_credential_place(os.path.realpath(file))):
        return True
    try:
        status = os.lstat(file)
        if not stat.S_ISREG(status.st_mode):
            return False
        if outside and owners.is_for_system(status) and not (owners.is_superuser() and _is_at_home(file)):
            return True
        return not status.st_mode & 0o077 and bool(os.stat(file.parent).st_mode & 0o005)
    except OSError:
        return False


def _is_at_home(file: Path) -> bool:
    home = owners.registered_home() or Path.home()
    return Path(os.path.realpath(file)).is_relative_to(os.path.realpath(home))


def _report_ignored(source: Path, files: SourceFiles, report: Report) -> None:
    if files.ignored:
        names = listed(list(files.ignored), 5)
        report(Log(f"Not in the image, because ignore files of {source.name} name them: {names}."))


def _without_examples(findings: Sequence[Finding], distribution: PipDistribution, prefix: Path) -> Iterator[Finding]:
    """Yields the findings without the examples in files that a package index delivered and nobody changed.

    Examples are everything in metadata, tests and documentation, and the kinds of `secret_detector.SOFT`.
    """
    if not findings:
        return
    from jupyter_condabuild.planning.own_files.secret_detector import SOFT

    for finding in findings:
        parts = finding.path.relative_to(prefix).parts
        is_metadata = any(part.endswith((".dist-info", ".egg-info")) for part in parts)
        is_example = is_metadata or finding.kind in SOFT or not _EXAMPLES.isdisjoint(parts)
        published = distribution.source == "index" and is_example
        if not (published and _is_as_installed(finding.path, distribution, prefix)):
            yield finding


def _is_as_installed(file: Path, distribution: PipDistribution, prefix: Path) -> bool:
    info = prefix / distribution.dist_info
    try:
        with (info / "RECORD").open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
            hashes = {row[0]: row[1] for row in csv.reader(lines) if len(row) > 1}
        digest = hashlib.sha256(file.read_bytes()).digest()
    except (OSError, csv.Error):
        return False
    expected = hashes.get(os.path.relpath(file, info.parent))
    return expected == f"sha256={urlsafe_b64encode(digest).decode().rstrip('=')}"
