"""Recognises programs and libraries of another system or processor by the header of the file.

Source: mach-o/loader.h and mach-o/fat.h of macOS, the PE format of Microsoft, and elf(5).
"""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_condabuild.files import open_regular

_MACH_O = frozenset(bytes.fromhex(magic) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe"))
_UNIVERSAL = (bytes.fromhex("cafebabe"), bytes.fromhex("cafebabf"))
_MOST_PARTS = 30  # a Java class has the same magic number, and its version, from 45 on, in the place of the parts
_MACHINES = {3: "i386", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_HEADER = 4096


def foreign(path: Path, machine: str) -> str:
    """Returns what a file is, if Linux on this processor cannot run it; empty for all other files, and for links.

    Args:
        machine: the processor, as ``uname -m`` names it.

    Raises OSError.
    """
    if path.is_symlink():
        return ""
    with open(open_regular(path), "rb", buffering=0) as file:
        head = file.read(_HEADER)
        if head[:4] in _MACH_O or (head[:4] in _UNIVERSAL and int.from_bytes(head[4:8], "big") <= _MOST_PARTS):
            return "macOS"
        if head[:2] == b"MZ":
            offset = int.from_bytes(head[60:64], "little")
            file.seek(min(offset, os.fstat(file.fileno()).st_size))
            return "Windows" if file.read(4) == b"PE\0\0" else ""
    if head[:4] == b"\x7fELF" and len(head) > 20:
        number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
        found = _MACHINES.get(number, f"another processor ({number})")
        return "" if found == machine else f"Linux on {found}"
    return "another system" if head[:8] == b"!<arch>\n" else ""
