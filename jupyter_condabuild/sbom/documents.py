"""The SBOMs of an image as documents of both formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_condabuild.sbom.bill import Bill

CYCLONEDX = "application/vnd.cyclonedx+json"
SPDX = "application/spdx+json"
"""Media types, and the types of the artifacts: trivy looks for these (internal/oci, SupportedSBOMArtifactTypes)."""

MEDIA_TYPES = (CYCLONEDX, SPDX)


@dataclass(frozen=True)
class Document:
    """An SBOM in one format."""

    media_type: str
    content: bytes


def documents(bill: Bill) -> tuple[Document, ...]:
    """Returns the SBOMs of an image in all formats."""
    from jupyter_condabuild.sbom.cyclonedx import cyclonedx  # a build whose image has its SBOMs writes none
    from jupyter_condabuild.sbom.spdx import spdx

    return Document(CYCLONEDX, cyclonedx(bill)), Document(SPDX, spdx(bill))
