"""The SBOMs of an image as documents of both formats, and the process that writes them.

The libraries of the formats take half a second to import. A process of its own imports them beside the build.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_condabuild.errors import SbomFailed
from jupyter_condabuild.sbom.bill import Bill

CYCLONEDX = "application/vnd.cyclonedx+json"
SPDX = "application/spdx+json"
"""Media types, and the types of the artifacts: trivy looks for these (internal/oci, SupportedSBOMArtifactTypes)."""

MEDIA_TYPES = (CYCLONEDX, SPDX)

SECONDS = 60

_FORMATS = ("jupyter_condabuild.sbom.cyclonedx", "jupyter_condabuild.sbom.spdx")


@dataclass(frozen=True)
class Document:
    """An SBOM in one format."""

    media_type: str
    content: bytes


def documents(bill: Bill) -> tuple[Document, ...]:
    """Returns the SBOMs of an image in all formats. Imports libraries that take half a second."""
    from jupyter_condabuild.sbom.cyclonedx import cyclonedx
    from jupyter_condabuild.sbom.spdx import spdx

    return Document(CYCLONEDX, cyclonedx(bill)), Document(SPDX, spdx(bill))


class Writer:
    """Writes the SBOMs of one image.

    A process of its own begins to import the libraries when the writer is made. If this process has imported them
    already, it writes the SBOMs itself.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        if not all(module in sys.modules for module in _FORMATS):
            self._process = _start()

    def write(self, bill: Bill) -> tuple[Document, ...]:
        """Returns the SBOMs of an image, and ends the process. Raises SbomFailed."""
        if self._process is None:
            return documents(bill)
        try:
            answer, _ = self._process.communicate(bill.to_json(), SECONDS)
            parsed: Sequence[dict[str, str]] = json.loads(answer)
            return tuple(Document(one["media_type"], one["content"].encode()) for one in parsed)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            raise SbomFailed(f"The process that writes SBOMs failed (status {self._process.poll()}).") from None

    def close(self) -> None:
        """Ends the process."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "jupyter_condabuild.sbom"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C reaches only the build, which then ends this process
        text=True,
        encoding="utf-8",
    )
