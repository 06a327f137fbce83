"""Recreates the environment of an image in a folder of this machine, for a user without containers.

The conda packages come from their channels, each verified by its hash, and are linked by py-rattler for the new prefix.
What no package has (pip's packages, changed and own files below the image's prefix) comes from the layers of the image.
Nothing of the image runs.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shlex
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.linking.clobbers import link_order
from jupyter_condabuild.conda.linking.link import LinkedPackage, link, linked_package
from jupyter_condabuild.conda.linking.relocate import Replacement, relocated, relocated_target
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders, hash_file
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.paths import link_fault, path_fault
from jupyter_condabuild.conda.platforms import linux_platform
from jupyter_condabuild.errors import OUTSIDE, BadImage, CondaBuildError, PackageMismatch, UsageError, from_os_error
from jupyter_condabuild.events import Log, Progress, Report
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.image.opener import made_by
from jupyter_condabuild.image.paths import PREFIX, PREFIX_IN_LAYER
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import LAYER_KEY, Image, ImageConfig, Manifest
from jupyter_condabuild.oci.tree.merged import Entry, merged
from jupyter_condabuild.receive.consent import Ask, consents
from jupyter_condabuild.receive.inspection import Inspection, inspect
from jupyter_condabuild.receive.unfinished import unfinished
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.receive import RecreateRequest
from jupyter_condabuild.system.process_tree import end_after
from jupyter_condabuild.text import counted

_CHUNK = 1 << 20
_RECORDS = "conda-meta"


@dataclass(frozen=True)
class Recreated:
    """A new environment. `outside` is the number of the image's own files that are not below its prefix."""

    prefix: Path
    lockfile: Lockfile
    outside: int

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return {
            "prefix": str(self.prefix),
            "environment": self.lockfile.digest,
            "conda_packages": len(self.lockfile.conda),
            "pip_packages": len(self.lockfile.pip),
            "outside": self.outside,
            "activate": self.activate,
            "add_kernel": self.add_kernel,
        }

    @property
    def activate(self) -> str:
        """The command that activates the environment in a terminal."""
        return f"conda activate {shlex.quote(str(self.prefix))}"

    @property
    def add_kernel(self) -> str:
        """The command that adds the kernel of the environment to the launcher; empty if it has no ipykernel."""
        names = {one.name for one in self.lockfile.conda} | {one.name for one in self.lockfile.pip}
        if "ipykernel" not in names:
            return ""
        words = (str(self.prefix / "bin/python"), "-m", "ipykernel", "install", "--user", "--name", self.prefix.name)
        return shlex.join(words)

    def text(self) -> str:
        """Returns a few lines for a user."""
        pip = f" and {counted(self.lockfile.pip, 'pip package')}" if self.lockfile.pip else ""
        lines = [
            f"{self.prefix} has {counted(self.lockfile.conda, 'conda package')}{pip}.",
            f"Activate it: {self.activate}",
        ]
        if self.add_kernel:
            lines.append(f"Add its kernel to the launcher: {self.add_kernel}")
        if self.outside:
            files = f"{self.outside} files" if self.outside > 1 else "One file"
            lines.append(f"{files} of the image outside of {PREFIX} (/work, sources of editable installs): left out.")
        return "\n".join(lines)


def run(request: RecreateRequest, report: Report, ask: Ask) -> Recreated:
    """Makes the environment of a request.

    Args:
        ask: asks the user about an image that nobody vouches for whom the user trusts.

    Raises UsageError, BadReference, BadImage, RegistryError, PackageError and StoreError. The folder is not made then.
    """
    assert request.target
    prefix = Path(os.path.abspath(request.target))
    if request.for_server:
        threading.Thread(target=end_after, args=(os.getppid(),), daemon=True).start()
    with open_job(request, report) as job:
        found = inspect(request, job)
        lockfile = _lockfile(found)
        if not consents(request, found, ask):
            raise UsageError("The environment is not made, because you do not want the programs of the image.")
        own = _own_layers(found, lockfile)
        try:
            with unfinished(prefix) as part:
                _link(lockfile, part, prefix, job)
                outside = _add_own(own, part, prefix) if own else 0
                _write_history(part, found)
        except OSError as error:
            raise from_os_error(error, "making the environment", prefix.parent, hint=OUTSIDE) from None
    return Recreated(prefix, lockfile, outside)


def _lockfile(found: Inspection) -> Lockfile:
    """Returns the lock file inside an image. Raises BadImage if there is none, or if it is for another platform."""
    if found.lockfile is None:
        made_by(found.image)  # raises
        raise BadImage("The image has no lock file.")
    here = linux_platform() if platform.system() == "Linux" else f"{platform.system()} ({platform.machine()})"
    if found.lockfile.platform != here:
        raise BadImage(
            f"The packages of {found.location} are for {found.lockfile.platform}, and this machine is {here}.",
            f"A container runs them: jupyter condabuild run {found.location}. Or make an environment of what the "
            "builder asked for, which jupyter condabuild inspect shows.",
        )
    return found.lockfile


def _own_layers(found: Inspection, lockfile: Lockfile) -> Image | None:
    """Returns the layers of an image that are not made of packages alone; None if there are none.

    Raises BadImage if it has pip's packages in layers of unknown content.
    """
    config = ImageConfig.parse(found.image.config)
    try:
        layers = Ours.read(config).layers(found.image.manifest, config)[1:]  # the first one has the image's programs
    except CondaBuildError:
        if lockfile.pip:
            raise BadImage(
                f"The docker engine made {found.location}, and its layers do not show which files pip has installed.",
                "Ask the builder for an image of the layers engine (build --engine layers). Or run it in a container: "
                f"jupyter condabuild run {found.location}",
            ) from None
        return None
    own = tuple(one.descriptor for one in layers if LAYER_KEY not in one.descriptor.annotations)
    if not own:
        return None
    return replace(found.image, manifest=Manifest.make(found.image.manifest.config, own))


def _link(lockfile: Lockfile, part: Path, prefix: Path, job: JobContext) -> None:
    """Writes the files of all packages, in conda's order. Raises PackageError, StoreError."""
    sources = PackageSources(PackageCaches(default_folders()), logins=read_logins())
    job.report(Log(f"Fetching {counted(lockfile.conda, 'package')}."))
    lockfile, unlockable = complete(lockfile, sources, job.folder())
    total, downloaded = len(lockfile.conda), 0

    def done(_: CondaPackage) -> None:
        nonlocal downloaded
        downloaded += 1
        job.report(Progress("fetch", downloaded, total, "packages"))

    job.report(Progress("fetch", 0, total, "packages"))
    cached, failures = locate(lockfile.conda, sources, job.folder(), done)
    if bad := {**unlockable, **failures}:
        raise next(iter(bad.values()))
    job.report(Log("Linking the packages."))
    staged = link(list(lockfile.conda), cached, job.folder() / "link", str(prefix))
    requested = {split_depend(spec)[0]: spec for spec in lockfile.requested}
    for number, dist in enumerate(link_order(lockfile.conda)):
        job.report(Progress("link", number, total, "packages"))
        package = staged[dist].package
        _write(linked_package(staged[dist], None, layer.EPOCH, ""), part, requested.get(package.name, ""))


def _write(package: LinkedPackage, part: Path, spec: str) -> None:
    for file in package.files:
        target = _place(part, file.path)
        if link := file.target or (os.path.islink(file.source) and os.readlink(file.source)):
            target.symlink_to(link)
            continue
        shutil.copy2(file.source, target)
        if file.sha256 and hash_file(target) != file.sha256:
            raise PackageMismatch(f"{file.path} was changed in the package cache.", "Use a package cache of your own.")
        executable = os.stat(target).st_mode & 0o111 if file.executable is None else file.executable
        target.chmod(0o755 if executable else 0o644)
    record = json.loads(package.record)
    if spec:
        record |= {"requested_spec": spec, "requested_specs": [spec]}
    _place(part, package.record_path).write_text(json.dumps(record, indent=1))


def _place(part: Path, path: str) -> Path:
    """Makes room for a file: its folders, and nothing earlier. Raises BadImage if a link leads out of the prefix."""
    target = part / path
    if not Path(os.path.realpath(target.parent)).is_relative_to(os.path.realpath(part)):
        raise BadImage(f"{path[:200]!r} is behind a link that leads out of the environment.")
    for folder in reversed(target.relative_to(part).parents[:-1]):
        if os.path.lexists(part / folder) and not (part / folder).is_dir():
            (part / folder).unlink()  # as in a container of the image: the later file counts
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif os.path.lexists(target):
        target.unlink()
    return target


def _add_own(image: Image, part: Path, prefix: Path) -> int:
    """Writes what the layers have below the image's prefix. Returns the number of files that they have elsewhere."""
    pairs: Sequence[Replacement] = [(PREFIX.encode(), os.fsencode(prefix))]
    outside = 0
    for member, content in _files(image):
        if not member.name.startswith(f"{PREFIX_IN_LAYER}/"):
            outside += 1
            continue
        path = member.name.removeprefix(f"{PREFIX_IN_LAYER}/")
        fault = path_fault(path) or (link_fault(path, member.linkname) if member.issym() else "")
        if path == _RECORDS or (member.issym() and path.startswith(f"{_RECORDS}/")):
            fault = "conda and this command write records there"
        if fault:
            raise BadImage(f"The image brings {path[:200]!r}, which is not allowed: {fault}.")
        target = _place(part, path)
        if member.issym():
            target.symlink_to(relocated_target(member.linkname, pairs))
            continue
        if content is None:
            raise BadImage(f"The image brings {path[:200]!r}, which is no file, folder or link.")
        original = target.with_name(f".{secrets.token_hex(8)}")
        with original.open("xb") as file:
            shutil.copyfileobj(content, file, _CHUNK)
        if relocated(original, pairs, target):
            original.unlink()
        else:
            original.replace(target)
        target.chmod(0o755 if member.mode & 0o111 else 0o644)
        os.utime(target, (member.mtime, member.mtime))  # bytecode has the time of its module
    return outside


def _files(image: Image) -> Iterator[Entry]:
    """Yields the files and links of layers. A hard link is refused: our layers have none."""
    for member, content in merged(image, [], []):
        if member.islnk():
            raise BadImage(f"The image brings {member.name[:200]!r} as a hard link, which is not allowed.")
        if not member.isdir():
            yield member, content


def _write_history(part: Path, found: Inspection) -> None:
    """Writes the history that conda wants, unless the image has one."""
    history = f"{_RECORDS}/history"
    if not os.path.lexists(part / history):
        _place(part, history).write_text(f"# recreated by jupyter condabuild from {found.location} ({found.digest})\n")
