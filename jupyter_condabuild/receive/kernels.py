"""Installs the kernels of an image for Jupyter, lists the installed ones, and removes them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadImage, CondaBuildError, UsageError
from jupyter_condabuild.events import Report
from jupyter_condabuild.image.opener import lock_in, open_image
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.oci.engine.containers import read_folder
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.tree.unpacked import Unpacked, read_below
from jupyter_condabuild.receive import kernelspecs
from jupyter_condabuild.receive.addition import (
    IPYKERNEL,
    Addition,
    AskPackages,
    name_in_engine,
    refuse_unknown,
    solved,
    with_ipykernel,
)
from jupyter_condabuild.receive.consent import Ask, consents
from jupyter_condabuild.receive.inspection import Inspection, inspect
from jupyter_condabuild.receive.kernelspecs import CONNECTION_FILE, ImageKernel, Installed
from jupyter_condabuild.receive.local_engine import bring, engine_or_sandbox, pinned_name
from jupyter_condabuild.receive.local_image import fetch, way_of
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.receive import KernelInstallRequest, KernelListRequest, KernelRemoveRequest
from jupyter_condabuild.text import clean, counted

FOLDERS = tuple(f"{prefix}/share/jupyter/kernels" for prefix in (PREFIX, "/opt/conda", "/usr/local", "/usr"))
"""The folders of an image that may have kernelspecs: those of our images first."""

MOST_BYTES = 4 << 20
"""The largest folder of kernelspecs that is read."""

ICONS = ("logo-32x32.png", "logo-64x64.png")
"""The icons that are copied. An SVG from a stranger could run scripts in the browser."""

_PNG = b"\x89PNG\r\n\x1a\n"
_LANGUAGE = re.compile(r"[\w+#. -]{1,40}")
_MESSAGES = Version("6")
"""The first version of ipykernel that is interrupted by a message. Source: ipykernel's changelog."""


@dataclass(frozen=True)
class Row:
    """An installed kernel. `news` says that its image has changed or is gone; empty if nothing is to be said."""

    installed: Installed
    news: str = ""


@dataclass(frozen=True)
class Kernels:
    """The kernels that a command has installed, listed or removed: `done` is the verb, in the past."""

    done: str
    rows: tuple[Row, ...]

    def summary(self) -> dict[str, Any]:
        """Returns the kernels as a JSON object."""
        return {
            "kernels": [
                {
                    "name": row.installed.name,
                    "title": row.installed.title,
                    "language": row.installed.language,
                    "reference": row.installed.kernel.reference,
                    "digest": row.installed.kernel.digest,
                    "folder": str(row.installed.folder),
                    "way": way_of(row.installed.kernel.sandbox),
                    "news": row.news,
                }
                for row in self.rows
            ]
        }

    def text(self) -> str:
        """Returns a few lines for a user."""
        if not self.rows:
            return "No kernel of an image is installed. Install one: jupyter condabuild kernel install REFERENCE"
        lines = []
        for row in self.rows:
            kernel = row.installed.kernel
            added = f", with {IPYKERNEL} added" if kernel.added else ""
            name = f"{row.installed.title} ({row.installed.name})"
            lines.append(f"{self.done}{name}: {kernel.reference}, {kernel.digest[:19]}{added}")
            lines += [f"  {row.news}"] if row.news else []
        return "\n".join(lines)


def install(
    request: KernelInstallRequest, report: Report, ask: Ask, ask_packages: AskPackages | None = None
) -> Kernels:
    """Installs the kernels of an image for Jupyter.

    Args:
        ask: asks the user about an image that nobody vouches for whom the user trusts.
        ask_packages: asks the user whether an image without a kernel gets ipykernel; None if nobody can answer.

    Raises UsageError, BadReference, BadImage, RegistryError, EngineUnavailable, EngineFault, StoreError; and if
    ipykernel is added, NotCompatible, PackageError, LinkFailed, LockfileError.
    """
    if os.name == "nt":
        raise UsageError(
            "A kernel of an image needs Linux or macOS: a container cannot have the folders of Windows at their paths.",
            "Run the image instead: jupyter condabuild run. Or use the command in WSL.",
        )
    for folder in request.folder:
        kernelspecs.refuse_hiding(Path(folder).resolve())
    with open_job(request, report) as job:
        where = engine_or_sandbox(request, kernelspecs.kernels_folder(), job)
        if isinstance(where, str) and request.memory_bytes:
            raise UsageError("Without an engine, nothing limits the memory of a kernel.", "Leave out --memory.")
        found = inspect(request, job)
        lacks = _lacks(found, is_kernel)
        if request.add_ipykernel:
            refuse_unknown(found)
        elif lacks and ask_packages is None:
            raise _no_kernel(found)
        if not consents(request, found, ask):
            raise UsageError("The kernel is not installed, because you do not want to run the image.")
        addition = None
        if lacks or (request.add_ipykernel and _lacks(found, IPYKERNEL.__eq__)):
            addition = _addition(request, found, ask_packages)
        return Kernels("Installed ", tuple(_install(request, found, addition, where, job)))


def show(request: KernelListRequest, report: Report) -> Kernels:
    """Lists the installed kernels of images, and says which images have changed. Raises StoreError."""
    with open_job(request, report) as job:
        return Kernels("", tuple(Row(found, _news(found.kernel, job)) for found in kernelspecs.installed()))


def remove(request: KernelRemoveRequest) -> Kernels:
    """Removes the kernels of an image, or the kernel of a name. Raises UsageError if none is installed, StoreError."""
    named = request.reference
    # The setting `registry`, or Docker Hub's library, stands before the name of a kernel by now.
    short = named.reference.repository.rpartition("/")[2] if named and named.kind == "registry" else ""
    found = [one for one in kernelspecs.installed() if one.name == short or _location(one.kernel) == named]
    if not found:
        raise UsageError(
            f"No kernel of {request.reference} is installed.", "List the installed ones: jupyter condabuild kernel list"
        )
    for one in found:
        kernelspecs.remove(one)
    kernel = found[0].kernel
    news = f"The engine may keep the image: docker image rm {kernel.image[:19]}"
    if kernel.sandbox:
        news = "The store keeps the image until it is pruned: jupyter condabuild prune"
    return Kernels("Removed ", tuple(Row(one, news) for one in found))


def _addition(request: KernelInstallRequest, found: Inspection, ask: AskPackages | None) -> Addition:
    """Returns the packages that an image gets. Raises UsageError if the user does not want them, and as `solved`."""
    if request.add_ipykernel:
        return solved(found)
    try:
        refuse_unknown(found)
        addition = solved(found)
    except CondaBuildError as error:
        raise BadImage(f"{_no_kernel(found).message} {error.message}", error.hint) from None
    if ask is None or not ask(addition):
        raise UsageError("The kernel is not installed: the image has none, and you do not want to add ipykernel.")
    return addition


def _install(
    request: KernelInstallRequest, found: Inspection, addition: Addition | None, where: Daemon | str, job: JobContext
) -> Iterator[Row]:
    held = with_ipykernel(found, addition, job) if addition else found
    if isinstance(where, str):
        place = fetch(held, where, job).place
        identity, sandbox = str(place), where
        specs = _kernelspecs(partial(read_below, Unpacked(place).root))
    else:
        image = bring(held, where, job, name_in_engine(held) if addition else "")
        identity, sandbox = where.image_id(image) or image, ""
        specs = _kernelspecs(partial(read_folder, where, image))
    if not specs:
        raise _no_kernel(found)
    for name, files in specs.items():
        spec = json.loads(files["kernel.json"])
        kernel = ImageKernel(
            reference=str(found.location),
            digest=found.digest,
            pinned=pinned_name(found) if found.location.kind == "registry" else "",
            image=identity,
            kernel=name,
            command=tuple(spec["argv"]),
            folders=tuple(str(Path(folder).resolve()) for folder in request.folder),
            variables=request.env,
            gpus=request.gpus if request.gpus != "auto" or found.wants_gpu else "none",
            network=request.network,
            memory=request.memory_bytes,
            docker_host=request.docker_host,
            sandbox=sandbox,
            added=tuple(package.dist for package in addition.packages) if addition else (),
        )
        icons = {icon: data for icon in ICONS if (data := files.get(icon, b"")).startswith(_PNG)}
        title = _title(found.location, str(spec.get("display_name", name)) if len(specs) > 1 else "")
        properties = _properties(spec, held.lockfile)
        yield Row(kernelspecs.install(kernel, title, _language(spec), properties, icons))


def is_kernel(name: str) -> bool:
    """Whether a package with this name can have a kernel. The headers of Linux' kernel come with compilers."""
    return ("kernel" in name and not name.startswith("kernel-headers")) or name.startswith("xeus")


def _lacks(found: Inspection, matches: Callable[[str], bool]) -> bool:
    """Whether no package of an image matches; false if its packages are not known. Nothing is pulled for it."""
    return found.lockfile is not None and not any(matches(name) for name, _ in _packages(found.lockfile))


def _no_kernel(found: Inspection) -> BadImage:
    return BadImage(
        f"The image {found.location} has no Jupyter kernel.",
        "Add --add-ipykernel: the image gets ipykernel on this machine. Or add it to its environment ('conda install "
        "ipykernel') and build the image again. Without a kernel, a program of the image runs: jupyter condabuild run "
        f"{found.location} python",
    )


def _kernelspecs(read: Callable[[str, int], dict[str, bytes]]) -> dict[str, dict[str, bytes]]:
    """Returns the files of each valid kernelspec of an image, by name.

    Args:
        read: returns the files of a folder by their paths below it, as `read_folder` does.

    Raises BadImage, EngineFault.
    """
    found: dict[str, dict[str, bytes]] = {}
    for folder in FOLDERS:
        for path, data in read(folder, MOST_BYTES).items():
            name, _, file = path.partition("/")
            found.setdefault(name, {})[file] = data
        if found := {name: files for name, files in found.items() if _is_kernelspec(files.get("kernel.json", b""))}:
            break
    return found


def _is_kernelspec(data: bytes) -> bool:
    try:
        spec = json.loads(data)
        argv = spec["argv"]
        return all(isinstance(word, str) for word in argv) and any(CONNECTION_FILE in word for word in argv)
    except (ValueError, RecursionError, KeyError, TypeError):
        return False


def _title(location: ImageLocation, kernel: str) -> str:
    name = location.path.name if location.is_file else location.name
    if location.kind == "registry":
        reference = location.reference
        name = f"{reference.repository}:{reference.tag}" if reference.tag else reference.repository
    return f"{name} ({clean(kernel)[:60]})" if kernel else name


def _language(spec: Mapping[str, Any]) -> str:
    found = str(spec.get("language", ""))
    return found if _LANGUAGE.fullmatch(found) else "python"


def _properties(spec: Mapping[str, Any], lockfile: Lockfile | None) -> dict[str, Any]:
    """Returns what a client has to know about a kernel: how to interrupt it, and whether it has a debugger."""
    metadata = spec.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    by_message = spec.get("interrupt_mode") == "message" or _takes_messages(spec, lockfile)
    properties: dict[str, Any] = {"interrupt_mode": "message" if by_message else "signal"}
    if metadata.get("debugger") is True:
        properties["debugger"] = True
    if "curve" in (metadata.get("supported_encryption") or ()):
        properties["supported_encryption"] = ["curve"]
    return properties


def _takes_messages(spec: Mapping[str, Any], lockfile: Lockfile | None) -> bool:
    """Whether a kernel is an ipykernel that is interrupted by a message. Otherwise it gets a signal."""
    if lockfile is None or not any("ipykernel" in word for word in spec["argv"]):
        return False
    versions = [version for name, version in _packages(lockfile) if name == "ipykernel"]
    try:
        return bool(versions) and min(map(Version, versions)) >= _MESSAGES
    except InvalidVersion:
        return False


def _location(kernel: ImageKernel) -> ImageLocation:
    return ImageLocation.parse_any(kernel.reference)


def _news(kernel: ImageKernel, job: JobContext) -> str:
    try:
        return moved(kernel, job)
    except CondaBuildError as error:
        return f"Whether the image has changed is not known: {error.message}"


def moved(kernel: ImageKernel, job: JobContext) -> str:
    """Says that the name of a kernel's image means another image now; empty if it means the image of the kernel.

    Kernels start the image that was installed. Raises the errors of `open_image` and `lock_in`.
    """
    location = _location(kernel)
    if location.kind != "registry" or location.reference.digest:
        return ""
    image = open_image(location, job)
    if str(image.manifest.descriptor.digest) == kernel.digest:
        return ""
    changed = _changed(kernel, lock_in(image), job)
    return (
        f"{kernel.reference} has moved: {changed}. To use it, install it again ({kernel.installation}) and restart the "
        "kernel."
    )


def _changed(kernel: ImageKernel, lockfile: Lockfile, job: JobContext) -> str:
    try:
        before = lock_in(open_image(ImageLocation.parse_any(kernel.pinned), job))
    except CondaBuildError:  # the registry has it no longer
        return "packages changed"
    changed = {name for name, _ in _packages(before) ^ _packages(lockfile)}
    return f"{counted(changed, 'package')} changed"


def _packages(lockfile: Lockfile) -> set[tuple[str, str]]:
    """Returns the name and the version of each package."""
    conda = {(package.name, package.version) for package in lockfile.conda}
    return conda | {(package.name, package.version) for package in lockfile.pip}
