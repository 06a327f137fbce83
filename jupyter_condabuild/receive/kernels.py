"""Installs the kernels of an image for Jupyter, lists the installed ones, and removes them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadImage, CondaBuildError, UsageError
from jupyter_condabuild.events import Log, Report
from jupyter_condabuild.image.opener import lock_in, open_image
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
from jupyter_condabuild.receive.consent import Ask, SifFile, consents
from jupyter_condabuild.receive.image_kernelspecs import (
    FOLDERS,
    icons_in,
    kernelspecs_in,
    language_of,
    packages_in,
    properties_of,
)
from jupyter_condabuild.receive.inspection import Inspection, inspect
from jupyter_condabuild.receive.kernelspecs import ImageKernel, Installed
from jupyter_condabuild.receive.local_engine import bring, engine_or_sandbox, pinned_name
from jupyter_condabuild.receive.local_image import LocalImage, fetch, sandbox, way_of
from jupyter_condabuild.receive.sif_file import copy_folders, difference, fingerprint
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.receive import KernelInstallRequest, KernelListRequest, KernelRemoveRequest
from jupyter_condabuild.text import clean, counted


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
        if request.reference and request.reference.kind == "sif":
            return Kernels("Installed ", tuple(_install_sif(request, request.reference, ask, job)))
        where = engine_or_sandbox(request, kernelspecs.kernels_folder(), job)
        if isinstance(where, str):
            _refuse_memory(request)
        found = inspect(request, job)
        lacks = _lacks(found, is_kernel)
        if request.add_ipykernel:
            refuse_unknown(found)
        elif lacks and ask_packages is None:
            raise _no_kernel(found)
        _consent(request, found, ask)
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
    short, folder, text = "", None, str(named)
    if named and named.kind == "registry":
        short = named.reference.repository.rpartition("/")[2]
    elif named and named.kind == "sif":
        named = ImageLocation("sif", os.path.abspath(named.name))
    elif named and named.is_file:  # the folder that Jupyter lists
        folder = named.path.absolute()
        text = str(folder)
    found = [
        one for one in kernelspecs.installed() if one.name == short or one.folder == folder or _same(one.kernel, named)
    ]
    if not found:
        hint = "List the installed ones: jupyter condabuild kernel list"
        raise UsageError(f"No kernel of {text} is installed.", hint)
    for one in found:
        kernelspecs.remove(one)
    kernel = found[0].kernel
    news = f"The engine may keep the image: docker image rm {kernel.image[:19]}"
    if kernel.stamp:
        news = f"The SIF stays where it is: {kernel.image}"
    elif kernel.sandbox:
        news = "The store keeps the image until it is pruned: jupyter condabuild prune"
    return Kernels("Removed ", tuple(Row(one, news) for one in found))


def _same(kernel: ImageKernel, named: ImageLocation | None) -> bool:
    """Whether a kernel is of the image of a name. A name without a tag has the tag ``latest``."""
    location = kernel.location
    if named and location.kind == named.kind == "registry":
        return location.reference == named.reference
    return location == named


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
        identity, program = str(place), where
        specs = kernelspecs_in(partial(read_below, Unpacked(place).root))
    else:
        image = bring(held, where, job, name_in_engine(held) if addition else "")
        identity, program = where.image_id(image) or image, ""
        specs = kernelspecs_in(partial(read_folder, where, image))
    if not specs:
        known = found.lockfile is not None and not _lacks(found, is_kernel)
        raise _no_kernel(found, listed=known or addition is not None)
    kernel = ImageKernel(
        reference=str(found.location),
        digest=found.digest,
        pinned=pinned_name(found) if found.location.kind == "registry" else "",
        image=identity,
        kernel="",
        command=(),
        gpus=request.gpus if request.gpus != "auto" or found.wants_gpu else "none",
        memory=request.memory_bytes,
        docker_host=request.docker_host,
        sandbox=program,
        added=tuple(package.dist for package in addition.packages) if addition else (),
    )
    yield from _write(request, kernel, specs, held.lockfile)


def _install_sif(request: KernelInstallRequest, location: ImageLocation, ask: Ask, job: JobContext) -> Iterator[Row]:
    """Installs the kernels of a SIF. Its programs say which kernels it has, so the user is asked before."""
    if request.add_ipykernel:
        raise UsageError(
            "Nothing can be added to a SIF.",
            "Add ipykernel to the image, and write the SIF again: jupyter condabuild sif",
        )
    _refuse_memory(request)
    file = Path(os.path.abspath(location.name))
    image = LocalImage(file, sandbox(sif=True))
    _consent(request, SifFile(location), ask)
    job.report(Log(f"Reading {file}."))
    digest, stamp = fingerprint(file)
    specs = kernelspecs_in(partial(read_below, copy_folders(image, FOLDERS, request.network, job.folder())))
    if not specs:
        raise BadImage(f"The SIF {file} has no Jupyter kernel.", "Make it again of an image with ipykernel.")
    kernel = ImageKernel(
        reference=str(file),
        digest=digest,
        pinned="",
        image=str(file),
        kernel="",
        command=(),
        gpus=request.gpus if request.gpus == "all" else "none",
        sandbox=image.program,
        stamp=stamp,
    )
    yield from _write(request, kernel, specs, None)


def _write(
    request: KernelInstallRequest,
    kernel: ImageKernel,
    specs: Mapping[str, Mapping[str, bytes]],
    lockfile: Lockfile | None,
) -> Iterator[Row]:
    """Writes the kernelspecs.

    Args:
        kernel: what all kernels of the image have in common.
        specs: the files of each kernelspec of the image, by name.
    """
    for name, files in specs.items():
        spec = json.loads(files["kernel.json"])
        made = replace(
            kernel,
            kernel=name,
            command=tuple(spec["argv"]),
            folders=tuple(str(Path(folder).resolve()) for folder in request.folder),
            variables=request.env,
            network=request.network,
        )
        title = _title(kernel.location, str(spec.get("display_name", name)) if len(specs) > 1 else "")
        properties = properties_of(spec, lockfile)
        yield Row(kernelspecs.install(made, title, language_of(spec), properties, icons_in(files)))


def _consent(request: KernelInstallRequest, found: Inspection | SifFile, ask: Ask) -> None:
    if not consents(request, found, ask):
        raise UsageError("The kernel is not installed, because you do not want to run the image.")


def _refuse_memory(request: KernelInstallRequest) -> None:
    if request.memory_bytes:
        raise UsageError("Without an engine, nothing limits the memory of a kernel.", "Leave out --memory.")


def is_kernel(name: str) -> bool:
    """Whether a package with this name can have a kernel. The headers of Linux' kernel come with compilers."""
    return ("kernel" in name and not name.startswith("kernel-headers")) or name.startswith("xeus")


def _lacks(found: Inspection, matches: Callable[[str], bool]) -> bool:
    """Whether no package of an image matches; false if its packages are not known. Nothing is pulled for it."""
    return found.lockfile is not None and not any(matches(name) for name, _ in packages_in(found.lockfile))


def _no_kernel(found: Inspection, *, listed: bool = False) -> BadImage:
    """Returns the error for an image without a kernel. `listed`: its lock file has a package of a kernel."""
    if listed:
        return BadImage(
            f"The image {found.location} has no Jupyter kernel, although its lock file has a package for one.",
            "Files of that package were deleted. Install it again in its environment ('conda install --force-reinstall "
            "ipykernel'), and build the image again.",
        )
    return BadImage(
        f"The image {found.location} has no Jupyter kernel.",
        "Add --add-ipykernel: the image gets ipykernel on this machine. Or add it to its environment ('conda install "
        "ipykernel') and build the image again. Without a kernel, a program of the image runs: jupyter condabuild run "
        f"{found.location} python",
    )


def _title(location: ImageLocation, kernel: str) -> str:
    name = location.path.name if location.is_file or location.kind == "sif" else location.name
    if location.kind == "registry":
        reference = location.reference
        name = f"{reference.repository}:{reference.tag}" if reference.tag else reference.repository
    return f"{name} ({clean(kernel)[:60]})" if kernel else name


def _news(kernel: ImageKernel, job: JobContext) -> str:
    try:
        return moved(kernel, job)
    except CondaBuildError as error:
        return f"Whether the image has changed is not known: {error.message}"


def moved(kernel: ImageKernel, job: JobContext) -> str:
    """Says that the name of a kernel's image means another image now; empty if it means the image of the kernel.

    Kernels start the image that was installed. Raises the errors of `open_image` and `lock_in`.
    """
    if kernel.stamp:
        said = difference(kernel)
        return f"{said} To use it, install it again: {kernel.installation}" if said else ""
    location = kernel.location
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
    changed = {name for name, _ in packages_in(before) ^ packages_in(lockfile)}
    return f"{counted(changed, 'package')} changed"
