"""The Debian packages of libraries that packages of conda and pip expect from the system.

Source: `dpkg -S` on Debian 12 (bookworm), and packages.debian.org, "Search the contents of packages". Debian 13 and
Ubuntu 24.04 have the same names, some of them with ``t64`` at the end, such as libglib2.0-0t64.
"""

from __future__ import annotations

import re

_PACKAGES = {
    "libGL": "libgl1",
    "libEGL": "libegl1",
    "libOpenGL": "libopengl0",
    "libGLU": "libglu1-mesa",
    "libglib-2.0": "libglib2.0-0",
    "libgthread-2.0": "libglib2.0-0",
    "libSM": "libsm6",
    "libICE": "libice6",
    "libX11": "libx11-6",
    "libxcb": "libxcb1",
    "libXext": "libxext6",
    "libXrender": "libxrender1",
    "libXi": "libxi6",
    "libXtst": "libxtst6",
    "libXft": "libxft2",
    "libXcursor": "libxcursor1",
    "libXrandr": "libxrandr2",
    "libXinerama": "libxinerama1",
    "libXcomposite": "libxcomposite1",
    "libXdamage": "libxdamage1",
    "libXfixes": "libxfixes3",
    "libxkbcommon": "libxkbcommon0",
    "libfontconfig": "libfontconfig1",
    "libdbus-1": "libdbus-1-3",
    "libgtk-3": "libgtk-3-0",
    "libatk-1.0": "libatk1.0-0",
    "libpango-1.0": "libpango-1.0-0",
    "libcairo": "libcairo2",
    "libgdk_pixbuf-2.0": "libgdk-pixbuf-2.0-0",
    "libcups": "libcups2",
    "libnss3": "libnss3",
    "libgbm": "libgbm1",
    "libdrm": "libdrm2",
    "libasound": "libasound2",
    "libpulse": "libpulse0",
    "libsndfile": "libsndfile1",
    "libgomp": "libgomp1",
    "libmagic": "libmagic1",
    "libpq": "libpq5",
    "libxml2": "libxml2",
    "libexpat": "libexpat1",
    "libcrypt": "libcrypt1",
}
"""The package of each library, by its name before ``.so``."""

_MISSING = re.compile(r"(lib[\w+.-]{1,80}?\.so(?:\.\d+)*): cannot open shared object file")


def missing_library(error: str) -> str:
    """Returns the library that a program did not find, such as ``libGL.so.1``, by the words of ld.so(8); else empty."""
    return found[1] if (found := _MISSING.search(error)) else ""


def debian_package(library: str) -> str:
    """Returns the Debian package with a library, or an empty text if it is not known."""
    return _PACKAGES.get(library.partition(".so")[0], "")
