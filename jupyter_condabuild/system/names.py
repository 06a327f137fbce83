"""Names of files: which ones a system cannot give to a file, and in which form they are in an image."""

from __future__ import annotations

import os
import re
import sys

_NO_NAMES = {
    # Naming Files, Paths, and Namespaces (learn.microsoft.com/windows/win32/fileio/naming-a-file)
    "win32": r"[<>:\"\\|?*\x00-\x1f]|[. ](?:/|\Z)"
    r"|(?:\A|/)(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3]) *(?:\.[^/]*)?(?:/|\Z)",
    "darwin": r"[\udc80-\udcff]",  # APFS and HFS+ take UTF-8 only; these are bytes that are not UTF-8
}


def no_name(system: str = sys.platform) -> re.Pattern[str] | None:
    """Returns what a path has that cannot be the path of a file on a system; None if every path is possible there."""
    pattern = _NO_NAMES.get(system)
    return re.compile(pattern, re.IGNORECASE) if pattern else None


def in_image(name: str, system: str = sys.platform) -> str:
    """Returns a name of the user's own file, or the target of a link, as an image has it.

    HFS+ lists `é` as two characters (the form NFD), whatever a program has written; APFS keeps both forms. So names of
    macOS get the form NFC, which tools on Linux write and in which Python looks for modules (PEP 3131). Git does the
    same (core.precomposeUnicode). On the other systems, names stay as they are.
    """
    if system != "darwin":
        return name
    import unicodedata

    return unicodedata.normalize("NFC", name)


if sys.platform == "win32":

    def name_bytes(name: str) -> bytes:
        """Returns the bytes of a name as on Linux. `os.fsencode` of Windows has others for what is no UTF-8."""
        return name.encode("utf-8", "surrogateescape")

else:
    name_bytes = os.fsencode
