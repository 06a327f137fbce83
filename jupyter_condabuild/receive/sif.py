"""Writes an image that somebody has shared to a SIF, or pushes one. Its layers stream through; nothing is unpacked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.events import Log, Progress, Report
from jupyter_condabuild.image.opener import open_image
from jupyter_condabuild.image.platforms import architecture_of
from jupyter_condabuild.oci.names import checked_target
from jupyter_condabuild.oci.sif import writer
from jupyter_condabuild.oci.sif.artifact import push
from jupyter_condabuild.oci.sif.squashfs import check_program
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.receive import SifRequest
from jupyter_condabuild.text import size_text


@dataclass(frozen=True)
class WrittenSif:
    """A SIF, and the digest of the manifest of its image.

    `file` is its path; None if it was pushed and not kept. `pushed` is its name in a registry; empty if it is in none.
    """

    file: Path | None
    reference: str
    digest: str
    size: int
    pushed: str = ""

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        file = str(self.file) if self.file else ""
        return {
            "file": file,
            "reference": self.reference,
            "digest": self.digest,
            "size": self.size,
            "pushed": self.pushed,
        }

    def text(self) -> str:
        """Returns a few lines for a user."""
        lines = [f"{self.file or self.pushed}: {size_text(self.size)}, {self.reference}, {self.digest}."]
        lines += [f"Run it: apptainer run {self.file}"] if self.file else []
        lines += [f"Get it on a cluster: apptainer pull env.sif {self.pushed}"] if self.pushed else []
        return "\n".join(lines)


def run(request: SifRequest, report: Report) -> WrittenSif:
    """Writes the image of a request to a SIF, and pushes it if the request says so.

    Raises BadReference, BadImage, RegistryError, ContentMismatch, SquashfsUnavailable, SquashfsFailed and StoreError.
    """
    location = request.reference
    assert location
    check_program()
    architecture = architecture_of(request.platform)
    with open_job(request, report) as job:
        repository, tag = None, ""
        if request.push:
            # A SIF is for one platform: if the user names it, the tag has its processor.
            tag = checked_target(f"{location.reference.tag}-sif{f'-{architecture}' if architecture else ''}")
            repository = job.repository(location.reference).for_pushing()
            repository.check_push()
        image = open_image(location, job, architecture)
        name = str(location.reference) if location.kind == "registry" else ""
        out = request.output or job.folder() / "env.sif"
        report(Log(f"Reading {size_text(image.size)}."))
        writer.write(image, name, out, lambda complete, total: report(Progress("export", complete, total)))
        size, pushed = out.stat().st_size, ""
        if repository:
            title = f"{repository.name.rpartition('/')[2]}_{location.reference.tag}.sif"
            push(out, title, repository, tag, lambda sent, total: report(Progress("push", sent, total)))
            pushed = f"oras://{repository.host}/{repository.name}:{tag}"
    return WrittenSif(request.output, str(location), str(image.manifest.descriptor.digest), size, pushed)
