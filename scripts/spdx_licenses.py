"""Writes jupyter_condabuild/sbom/spdx_licenses.txt from the list of the library license-expression.

Run it after another version of the library was put into pyproject.toml: ``.venv/bin/python scripts/spdx_licenses.py``.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from license_expression import get_spdx_licensing

FILE = Path(__file__).parent.parent / "jupyter_condabuild" / "sbom" / "spdx_licenses.txt"
HEAD = """\
# The identifiers of the SPDX licence list, and their other names: kind, identifier, other names, separated by tabs.
# Source: spdx.org/licenses, as license-expression {version} has it (scancode-licensedb-index.json, CC-BY-4.0).
# scripts/spdx_licenses.py writes this file.
"""


def main() -> None:
    """Writes the file."""
    lines = []
    for key, symbol in sorted(get_spdx_licensing().known_symbols.items(), key=lambda item: item[0].lower()):
        if not key.startswith("LicenseRef-"):
            others = sorted({alias for alias in symbol.aliases if not alias.startswith("LicenseRef-")} - {key})
            lines.append("\t".join(["exception" if symbol.is_exception else "license", key, *others]))
    FILE.write_text(HEAD.format(version=version("license-expression")) + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
