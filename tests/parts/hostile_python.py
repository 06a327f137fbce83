"""A package `python` whose interpreter is a script of an attacker, and a package that needs it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.parts.builds import install, small_channel
from tests.parts.channel.package import File, Metadata

OTHER = "3.1" if sys.version_info[:2] != (3, 1) else "3.2"
"""A feature release of Python that is not the release of the tests."""

ATTACK = """#!/bin/sh
# What it finds of its parents' variables, and a sign that it ran.
cat /proc/[0-9]*/environ > "{sign}" 2>/dev/null
echo ran >> "{sign}"
"""


HONEST = """#!/bin/sh
exec /usr/bin/python3 "$@"
"""
"""The system's interpreter, which is also in a sandbox."""


def hostile_prefix(folder: Path, version: str = sys.version.split()[0], attack: str = ATTACK) -> tuple[Path, Path]:
    """Makes an environment with such an interpreter. Returns it, and the file that exists if the interpreter ran."""
    sign = folder / "the-interpreter-ran"
    python = Metadata("python", version)
    script = attack.format(sign=sign).encode()
    needing = Metadata("needing", "1.0", noarch="python", depends=("python",))
    packages = [
        (python, [File("bin/python", script, 0o755), File("share/python", b"python")]),
        (needing, [File("site-packages/needing.py", b"VALUE = 1\n")]),
    ]
    channel = small_channel(folder / "channel", packages)
    return install(folder / "env", channel, "needing"), sign
