"""The files that the scripts of Debian's packages make at their installation. No script is executed.

Source: the postinst scripts of base-files, base-passwd, ca-certificates, debianutils, mawk and tzdata in Debian 12 and
13; update-ca-certificates(8); deb-control(5), "dpkg's status file" in dpkg(1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from jupyter_condabuild.debian.archive import Member, Unpacked
from jupyter_condabuild.debian.packages import DebianPackage, parse_fields

COPIES = {
    "etc/passwd": ("usr/share/base-passwd/passwd.master",),
    "etc/group": ("usr/share/base-passwd/group.master",),
    "etc/nsswitch.conf": ("usr/share/base-files/nsswitch.conf", "usr/share/libc-bin/nsswitch.conf"),
    "etc/profile": ("usr/share/base-files/profile",),
    "etc/motd": ("usr/share/base-files/motd",),
    "root/.bashrc": ("usr/share/base-files/dot.bashrc",),
    "root/.profile": ("usr/share/base-files/dot.profile",),
}
"""Files that begin as a copy of the first of these files that there is."""

LINKS = {
    "etc/dpkg/origins/default": "debian",
    "var/lock": "/run/lock",
    "var/run": "/run",
    "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
    "etc/alternatives/awk": "/usr/bin/mawk",
    "usr/bin/awk": "/etc/alternatives/awk",
    "etc/alternatives/nawk": "/usr/bin/mawk",
    "usr/bin/nawk": "/etc/alternatives/nawk",
    "etc/alternatives/which": "/usr/bin/which.debianutils",
    "usr/bin/which": "/etc/alternatives/which",
    # OpenSSL looks here first. So it needs no links by the hashes of the certificates, which only OpenSSL can make.
    "usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt",
}
"""Symbolic links. The absolute ones below /usr and /etc are made if their target is there."""


FOLDERS = {
    **dict.fromkeys((f"usr/local/{name}" for name in ("bin", "etc", "include", "lib", "sbin", "share", "src")), 0o755),
    **dict.fromkeys(("etc/opt", "var/opt"), 0o755),
    "run/lock": 0o1777,
    "var/mail": 0o775,
}

_SHELLS = ("bin/sh", "bin/bash", "bin/dash", "bin/rbash")
_AUTHORITIES = "usr/share/ca-certificates/"
_DPKG = "var/lib/dpkg"

SCRIPTS = ("preinst", "postinst", "prerm", "postrm", "config")
"""The names of the scripts of a package (Debian Policy, chapter 6)."""


def system_files(
    paths: Iterable[str], read: Callable[[str], bytes], packages: Iterable[tuple[DebianPackage, Unpacked]]
) -> Iterator[Member]:
    """Yields the files that the packages need besides their own.

    Args:
        paths: the paths of the files of the packages.
        read: returns the bytes of one of them.
        packages: the packages, sorted by name.
    """
    there = set(paths)
    for path, origins in COPIES.items():
        origin = next((origin for origin in origins if origin in there), "")
        if origin and path not in there:
            yield Member(path, "file", 0o644, data=read(origin))
    yield from (Member(path, "directory", mode) for path, mode in FOLDERS.items())
    certificates = list(_certificates(sorted(path for path in there if path.startswith(_AUTHORITIES)), read))
    yield from certificates
    there |= LINKS.keys() | {member.path for member in certificates}
    for path, target in LINKS.items():
        if not target.startswith(("/usr/", "/etc/")) or target[1:] in there:
            yield Member(path, "symlink", 0o777, target=target)
    yield Member("etc/timezone", "file", 0o644, data=b"Etc/UTC\n")
    shells = "".join(f"/{start}{path}\n" for path in _SHELLS if f"usr/{path}" in there for start in ("", "usr/"))
    yield Member("etc/shells", "file", 0o644, data=f"# /etc/shells: valid login shells\n{shells}".encode())
    yield from _dpkg(packages)


def _certificates(paths: list[str], read: Callable[[str], bytes]) -> Iterator[Member]:
    """Yields what update-ca-certificates makes of the certificates of authorities: the bundle, and a link to each."""
    if not paths:
        return
    names = [path.removeprefix(_AUTHORITIES) for path in paths]
    yield Member("etc/ca-certificates.conf", "file", 0o644, data="".join(f"{name}\n" for name in names).encode())
    for path in paths:
        link = Path(path).stem.replace(" ", "_").replace(",", "_").replace("(", "=").replace(")", "=")
        yield Member(f"etc/ssl/certs/{link}.pem", "symlink", 0o777, target=f"/{path}")
    bundle = b"".join(data if data.endswith(b"\n") else data + b"\n" for data in map(read, paths))
    yield Member("etc/ssl/certs/ca-certificates.crt", "file", 0o644, data=bundle)


def _dpkg(packages: Iterable[tuple[DebianPackage, Unpacked]]) -> Iterator[Member]:
    """Yields the database of dpkg, which apt and scanners read."""
    status = []
    for package, unpacked in packages:
        status.append(stanza_of(package, unpacked))
        yield from info_of(package, unpacked)
    yield Member(f"{_DPKG}/status", "file", 0o644, data="\n".join([*status, ""]).encode())
    yield Member(f"{_DPKG}/available", "file", 0o644)
    yield Member(f"{_DPKG}/info/format", "file", 0o644, data=b"1\n")


def stanza_of(package: DebianPackage, unpacked: Unpacked) -> str:
    """Returns the text about an installed package in dpkg's list of packages."""
    fields = parse_fields(unpacked.control["control"].decode(errors="replace"))
    rows = {"Package": package.name, "Status": "install ok installed", **fields}
    if conffiles := list(_conffiles(unpacked)):
        rows["Conffiles"] = "".join(f"\n {path} {md5}" for path, md5 in conffiles)
    return "".join(f"{key}: {value}\n".replace(": \n", ":\n", 1) for key, value in rows.items())


def info_of(package: DebianPackage, unpacked: Unpacked) -> Iterator[Member]:
    """Yields dpkg's own files about a package: its paths, and what the package has for dpkg."""
    fields = parse_fields(unpacked.control["control"].decode(errors="replace"))
    name = package.name
    if fields.get("Multi-Arch") == "same":
        name += f":{fields.get('Architecture', '')}"
    listed = "".join(f"{path}\n" for path in unpacked.listed)
    yield Member(f"{_DPKG}/info/{name}.list", "file", 0o644, data=listed.encode("utf-8", "surrogateescape"))
    for file, data in sorted(unpacked.control.items()):
        if file != "control":
            yield Member(f"{_DPKG}/info/{name}.{file}", "file", 0o755 if file in SCRIPTS else 0o644, data=data)


def _conffiles(unpacked: Unpacked) -> Iterator[tuple[str, str]]:
    files = {f"/{member.path}": member for member in unpacked.members if member.kind == "file"}
    for line in unpacked.control.get("conffiles", b"").decode(errors="replace").splitlines():
        path = line.strip()
        if path in files:
            yield path, hashlib.md5(Path(files[path].source).read_bytes(), usedforsecurity=False).hexdigest()
