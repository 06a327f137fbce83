"""The process that writes SBOMs: it reads a bill from standard input and writes the documents to standard output."""

from __future__ import annotations

import json
import sys

from jupyter_condabuild.sbom import cyclonedx, spdx  # noqa: F401  imported while the build still makes layers
from jupyter_condabuild.sbom.bill import Bill
from jupyter_condabuild.sbom.documents import documents


def main() -> None:
    """Writes the documents of one bill."""
    text = sys.stdin.buffer.read()
    if text:
        made = documents(Bill.parse(text.decode()))
        value = [{"media_type": one.media_type, "content": one.content.decode()} for one in made]
        sys.stdout.buffer.write(json.dumps(value).encode())


if __name__ == "__main__":
    main()
