"""Starts an image once, and imports the modules that its user needs: the proof that the image works."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.errors import BadImage, UsageError
from jupyter_condabuild.events import Log, Report
from jupyter_condabuild.files import read_regular
from jupyter_condabuild.oci.engine.containers import Container, ContainerOptions, remove_abandoned
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.tree.unpacked import folder_of
from jupyter_condabuild.receive.consent import Ask, consents
from jupyter_condabuild.receive.host_libraries import debian_package, missing_library
from jupyter_condabuild.receive.imports import PROGRAM, SECONDS, imports_of
from jupyter_condabuild.receive.inspection import Inspection, inspect
from jupyter_condabuild.receive.local_engine import bring, engine_or_sandbox
from jupyter_condabuild.receive.local_image import fetch
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.receive import IMPORTING, CheckRequest
from jupyter_condabuild.system import owners
from jupyter_condabuild.system.process_tree import end_after
from jupyter_condabuild.text import clean, counted

INSIDE = "/run/condabuild"
"""The folder in the container to which the result is written."""

_MOST_BYTES = 4 << 20
_MOST_WANTED = 100_000
"""The largest number of bytes in one argument of a program is 128 KiB. Source: execve(2), MAX_ARG_STRLEN."""


@dataclass(frozen=True)
class Checked:
    """The result of a check: for each module, the error of its import, or an empty text.

    `missing` is the size in bytes of what the engine lacks, if that is the reason why nothing was imported; else 0.
    `from_packages` says that the modules are those of the packages that the builder asked for, and of no notebook.
    """

    reference: str
    digest: str
    errors: Mapping[str, str]
    missing: int = 0
    from_packages: bool = False

    @property
    def works(self) -> bool:
        """Whether every module was imported."""
        return not any(self.errors.values())

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        failed = [self._failure(module) for module, error in self.errors.items() if error]
        imported = [module for module, error in self.errors.items() if not error]
        return {
            "reference": self.reference,
            "digest": self.digest,
            "imported": imported,
            "failed": failed,
            "missing": self.missing,
            "from_packages": self.from_packages,
        }

    def _failure(self, module: str) -> dict[str, str]:
        library = missing_library(self.errors[module])
        package = debian_package(library)
        return {"module": module, "error": self.errors[module], "library": library, "debian_package": package}

    def text(self) -> str:
        """Returns a few lines for a user."""
        whole = self.summary()
        lines = [f"{self.reference}: {counted(whole['imported'], 'module')} can be imported."]
        for failure in whole["failed"]:
            lines.append(f"{failure['module']} cannot be imported: {clean(failure['error'])}")
            if failure["library"]:
                lines.append(f"  {_next_step(failure['library'], failure['debian_package'])}")
        return "\n".join(lines)


def run(request: CheckRequest, report: Report, ask: Ask) -> Checked:
    """Imports the modules of a request in a container, which has no network and no folder of the user.

    Args:
        ask: asks the user about an image that nobody vouches for whom the user trusts.

    Raises UsageError, BadReference, BadImage, RegistryError, EngineUnavailable, EngineFault, StoreError.
    """
    if request.for_server:
        threading.Thread(target=end_after, args=(os.getppid(),), daemon=True).start()
    modules = {name for file in request.notebook for name in imports_of(Path(file))}
    with open_job(request, report) as job:
        where = engine_or_sandbox(request, Path.cwd(), job)
        found = inspect(request, job)
        packages = [] if modules else sorted({split_depend(spec)[0] for spec in found.requested})
        if not modules and not packages:
            raise UsageError(
                "Nothing can be imported: no notebook imports a module, and the image does not say what its builder "
                "asked for.",
                "Name a notebook whose imports are tried: --notebook FILE.",
            )
        if found.lockfile and not found.lockfile.python:
            raise UsageError("Nothing can be imported: the image has no Python.")
        if not consents(request, found, ask):
            raise UsageError("The image is not checked, because you do not want to run it.")
        missing = _missing(found, where, job)
        if 0 <= request.most_missing < missing:
            return Checked(str(found.location), found.digest, {}, missing)
        out = job.folder()
        wanted = json.dumps({"modules": sorted(modules), "packages": packages})
        if len(wanted) > _MOST_WANTED:
            raise UsageError(
                f"{len(modules) or len(packages)} modules are too many for one check.",
                "Name a notebook with fewer imports: --notebook FILE.",
            )
        options = ContainerOptions(
            "",
            command=("python", "-c", PROGRAM, wanted, f"{INSIDE}/result.json", str(SECONDS)),
            user=owners.container_user(),
            folders={INSIDE: out},
            work="/",
            network="none",
        )
        report(Log(IMPORTING))
        status, said = _run(options, found, where, job)
        errors = _result(out / "result.json", status, said)
        return Checked(str(found.location), found.digest, errors, from_packages=not modules)


def _missing(found: Inspection, where: Daemon | str, job: JobContext) -> int:
    """Returns the bytes that have to be brought to this machine, or into its engine, before the image can run."""
    if isinstance(where, str):
        return 0 if folder_of(found.image, job.store).is_dir() else found.size
    return found.size if found.missing is None else found.missing


def _run(options: ContainerOptions, found: Inspection, where: Daemon | str, job: JobContext) -> tuple[int, str]:
    """Runs the program, and returns its exit status and the end of its output."""
    if isinstance(where, str):
        with fetch(found, where, job).run(options, job.folder()) as program:
            program.start()
            return program.wait(), program.log()
    remove_abandoned(where)
    with Container(where, replace(options, image=bring(found, where, job))) as container:
        container.start()
        return container.wait(), container.log()


def _result(file: Path, status: int, said: str) -> dict[str, str]:
    """Reads what the program has written. Raises BadImage if it wrote nothing that can be read."""
    try:
        value = json.loads(read_regular(file, _MOST_BYTES))
        return {clean(str(module))[:200]: str(error)[:1000] for module, error in sorted(value.items())}
    except (OSError, ValueError, AttributeError, RecursionError):
        why = clean(said.strip())[-400:] or "it said nothing"
        raise BadImage(
            f"The Python of the image does not run (status {status}): {why}.",
            "Run a program of the image to look into it: jupyter condabuild run REFERENCE sh",
        ) from None


def _next_step(library: str, package: str) -> str:
    if not package:
        return f"The image lacks {library} of the system. Search its package: https://packages.debian.org (contents)."
    return (
        f"The image lacks {library}, which Debian has in the package {package}. Build the image again with "
        f"--apt {package}; or on a base image that has it (--base)."
    )
