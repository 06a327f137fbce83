"""Small packages of Debian, and a mirror of them in a folder; and the mirrors of this machine."""

from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from jupyter_condabuild.debian.base import NAMES

Item = tuple[tarfile.TarInfo, bytes]

CA = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
FILES: Mapping[str, Mapping[str, bytes | str]] = {
    "base-files": {
        "etc/debian_version": b"12\n",
        "usr/lib/os-release": b'PRETTY_NAME="Small Debian"\nID=debian\nVERSION_CODENAME=bookworm\n',
        "usr/share/base-files/nsswitch.conf": b"hosts: files dns\n",
    },
    "base-passwd": {
        "usr/share/base-passwd/passwd.master": b"root:*:0:0:root:/root:/bin/bash\n",
        "usr/share/base-passwd/group.master": b"root:*:0:\n",
    },
    "bash": {
        "bin/bash": b"bash",
        "bin/rbash": "bash",
        "usr/share/doc/bash/NEWS": b"",
        "usr/share/doc/bash/copyright": b"GPL",
    },
    "ca-certificates": {
        "usr/share/ca-certificates/mozilla/A.crt": CA,
        "usr/share/ca-certificates/mozilla/B.crt": CA[:-1],
    },
    "tzdata": {"usr/share/zoneinfo/Etc/UTC": b"UTC"},
}
"""The files of the packages in `Mirror`, by path; a text is the target of a symbolic link."""


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o755
) -> tuple[tarfile.TarInfo, bytes]:
    """Returns a member of a package, as hostile as the arguments are."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.mode = len(data), kind, target, mode
    return info, data


def members(files: Mapping[str, bytes | str]) -> list[Item]:
    """Returns the members of honest files, with their folders, as Debian writes them."""
    folders = sorted({str(parent) for path in files for parent in Path(path).parents if str(parent) != "."})
    return [
        *(member(f"./{folder}/", kind=tarfile.DIRTYPE) for folder in folders),
        *(
            member(f"./{path}", kind=tarfile.SYMTYPE, target=content)
            if isinstance(content, str)
            else member(f"./{path}", content)
            for path, content in files.items()
        ),
    ]


def tar_xz(items: Sequence[Item]) -> bytes:
    """Returns a tar, compressed with xz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in items:
            tar.addfile(info, io.BytesIO(data))
    return lzma.compress(out.getvalue())


def ar(parts: Mapping[str, bytes]) -> bytes:
    """Returns an ar archive."""
    out = b"!<arch>\n"
    for name, data in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def deb(
    name: str,
    data: Sequence[Item],
    fields: str = "",
    control: Mapping[str, bytes] | None = None,
) -> bytes:
    """Returns a package. `control` are further files for dpkg."""
    text = f"Package: {name}\nVersion: 1.0-1\nArchitecture: amd64\n{fields}"
    files = {"control": text.encode(), **(control or {})}
    return ar(
        {
            "debian-binary": b"2.0\n",
            "control.tar.xz": tar_xz([member(f"./{path}", content, mode=0o644) for path, content in files.items()]),
            "data.tar.xz": tar_xz(data),
        }
    )


class SmallMirror:
    """A mirror in a folder, with a small package for each name of the base. `url` is its URL."""

    def __init__(self, folder: Path, suite: str = "bookworm") -> None:
        self.folder = folder
        self.suite = suite
        self.url = folder.as_uri()
        self.packages: dict[str, tuple[bytes, str]] = {}
        for name in NAMES:
            self.add(name, deb(name, members(FILES.get(name, {f"usr/bin/of-{name}": name.encode()}))))
        self.publish()

    def add(self, name: str, data: bytes, fields: str = "") -> None:
        """Adds a package, or replaces it. `fields` are further lines of the index, which win over the usual ones."""
        self.packages[name] = (data, fields)

    def publish(self) -> None:
        """Writes the packages, the index, and the Release with a signature of nobody."""
        stanzas = []
        for name, (data, fields) in self.packages.items():
            path = self.folder / f"pool/{name}.deb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            usual = {
                "Package": name,
                "Version": "1.0-1",
                "Filename": f"pool/{name}.deb",
                "Size": str(len(data)),
                "SHA256": hashlib.sha256(data).hexdigest(),
            }
            usual |= dict(line.split(": ", 1) for line in fields.splitlines())
            stanzas.append("".join(f"{key}: {value}\n" for key, value in usual.items()))
        index = lzma.compress("\n".join(stanzas).encode())
        self.write("main/binary-amd64/Packages.xz", index)
        digest = hashlib.sha256(index).hexdigest()
        self.write(
            "InRelease",
            (
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\n"
                f"Codename: {self.suite}\nVersion: 12.1\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n"
                f"SHA256:\n {digest} {len(index)} main/binary-amd64/Packages.xz\n"
                "-----BEGIN PGP SIGNATURE-----\n\nAA\n-----END PGP SIGNATURE-----\n"
            ).encode(),
        )

    def write(self, path: str, data: bytes) -> None:
        """Writes a file of the suite."""
        target = self.folder / "dists" / self.suite / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


@pytest.fixture
def small_mirror(tmp_path: Path) -> SmallMirror:
    """A mirror of small packages that a test may change."""
    return SmallMirror(tmp_path / "mirror")


@pytest.fixture(scope="session")
def debian_mirrors() -> tuple[str, ...]:
    """The mirrors of bookworm and of its security updates in the sources of apt, from which base-image is made, too."""
    rows = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = dict(line.split(" ", 1) for line in rows.splitlines())
    return found["bookworm"], found["bookworm-security"]
