"""Writes an image that somebody has shared to a SIF. Its layers stream through; nothing is unpacked or run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_condabuild.events import Log, Progress, Report
from jupyter_condabuild.image.opener import open_image
from jupyter_condabuild.image.platforms import architecture_of
from jupyter_condabuild.oci.sif import writer
from jupyter_condabuild.oci.sif.squashfs import check_program
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.receive import SifRequest
from jupyter_condabuild.text import size_text


@dataclass(frozen=True)
class WrittenSif:
    """A SIF, and the digest of the manifest of its image."""

    file: Path
    reference: str
    digest: str
    size: int

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return {"file": str(self.file), "reference": self.reference, "digest": self.digest, "size": self.size}

    def text(self) -> str:
        """Returns a few lines for a user."""
        return (
            f"{self.file}: {size_text(self.size)}, {self.reference}, {self.digest}.\nRun it: apptainer run {self.file}"
        )


def run(request: SifRequest, report: Report) -> WrittenSif:
    """Writes the image of a request to a SIF.

    Raises BadReference, BadImage, RegistryError, ContentMismatch, SquashfsUnavailable, SquashfsFailed and StoreError.
    """
    location, out = request.reference, request.output
    assert location
    assert out
    check_program()
    with open_job(request, report) as job:
        image = open_image(location, job, architecture_of(request.platform))
        name = str(location.reference) if location.kind == "registry" else ""
        report(Log(f"Reading {size_text(image.size)}."))
        writer.write(image, name, out, lambda complete, total: report(Progress("export", complete, total)))
    return WrittenSif(out, str(location), str(image.manifest.descriptor.digest), out.stat().st_size)
