"""Reverts Debian's changes to its Python, so that packages in a prefix are in site-packages, as in other Pythons."""

from __future__ import annotations

from pathlib import Path

from tests.parts.channel.bytecode import VERSION

BASE = Path("/usr")
LEFT_OUT = {"sitecustomize.py", "EXTERNALLY-MANAGED", "dist-packages"}
INTERPRETER = f"{BASE}/bin/python3"
"""Texts that name a program of this Python. /usr alone also appears in unrelated texts."""

# Debian's `site` looks for dist-packages, and is frozen into the interpreter.
_SITECUSTOMIZE = """\
import site
import sys

site.addsitedir(f"{sys.prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
"""


def undo(root: Path) -> None:
    """Reverts the changes in the standard library under `root`."""
    library = root / f"lib/python{VERSION}"
    (library / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    sysconfig = library / "sysconfig.py"
    text = sysconfig.read_text(encoding="utf-8")
    sysconfig.write_text(text.replace("prefix_scheme = 'posix_local'", "prefix_scheme = 'posix_prefix'"))
