"""Small packages with unusual content: odd names, prefixes in binaries, scripts, and clobbered files."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.parts.channel.package import PLACEHOLDER, Entry, File, Folder, Metadata, Symlink, write

SECRET_CHANNEL = "https://user:secret@conda.example.org/t/tk-123/channel"
_LIBRARY = """
#include <stdio.h>
#include <string.h>
static const char *volatile prefix = "PLACEHOLDER";
int greet(void) {
    char path[4096], line[99] = "";
    snprintf(path, sizeof path, "%s/share/greet/message.txt", prefix);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) return 1;
    printf("%s from %s\\n", line, prefix);
    return 0;
}
"""
_PROGRAM = """
extern int greet(void);
static const char *volatile home = "PLACEHOLDER/share/greet";
int main(void) { return !home || greet(); }
"""
Make = Callable[[Path], list[Entry]]


@dataclass(frozen=True)
class SpecialPackage:
    """A package whose entries a function of this module makes, in a scratch folder if the function needs one."""

    metadata: Metadata
    entries: Make

    @property
    def key(self) -> str:
        return repr((sha256(Path(__file__).read_bytes()).hexdigest(), bool(shutil.which("gcc")), self.metadata))

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        with tempfile.TemporaryDirectory() as scratch:
            return write(self.metadata, self.entries(Path(scratch)), folder)


@dataclass(frozen=True)
class LargePackage:
    """`size` bytes in `files` files. About half of the data can be compressed. The data is always the same."""

    name: str
    size: int
    files: int = 8
    version: str = "1.0"

    @property
    def metadata(self) -> Metadata:
        return Metadata(self.name, self.version, noarch="generic", summary=f"{self.size} bytes")

    @property
    def key(self) -> str:
        return repr(self)

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`, block by block."""
        source = random.Random(repr(self))
        with tempfile.TemporaryDirectory() as scratch:
            entries: list[Entry] = []
            for number in range(self.files):
                path = Path(scratch, str(number))
                size = self.size // self.files + (self.size % self.files if number == 0 else 0)
                with path.open("wb") as file:
                    for start in range(0, size, 1 << 16):
                        noise = source.randbytes(1 << 15)
                        file.write((noise + noise[:512] * 64)[: size - start])
                entries.append(File(f"share/{self.name}/{number:05}.bin", path))
            return write(self.metadata, entries, folder)


def packages() -> list[SpecialPackage]:
    """Returns all special packages, with two versions of `changing`."""

    def generic(name: str, entries: Make, version: str = "1.0", **about: object) -> SpecialPackage:
        return SpecialPackage(Metadata(name, version, noarch="generic", summary=name, about=about), entries)

    def native(name: str, entries: Make, *depends: str) -> SpecialPackage:
        return SpecialPackage(Metadata(name, "1.0", "h0_0", depends=depends, summary=name), entries)

    templated = Metadata(
        "templated", "1.0", "pyhd_0", noarch="python", depends=("python >=3.8",),
        entry_points=("templated = templated.program:main",), summary="templated",
    )  # fmt: skip
    return [
        native("greet", _greet),
        native("textprefix", _textprefix),
        native("xyzkernel", _xyzkernel),
        native("postlink", _postlink),
        generic("activation", _activation),
        generic("clobber-a", _clobber_a),
        generic("clobber-b", _clobber_b),
        generic("oddnames", _oddnames),
        generic("plaindata", _plaindata),
        generic("credentialed", _plaindata_elsewhere, channels=[SECRET_CHANNEL], channel_urls=[SECRET_CHANNEL]),
        generic("changing", _changing_1_0, "1.0"),
        generic("changing", _changing_1_1, "1.1"),
        SpecialPackage(templated, _templated),
    ]


def _greet(scratch: Path) -> list[Entry]:
    """Returns a C library and a program that contain the prefix, or similar files if there is no compiler."""
    library = _LIBRARY.replace("PLACEHOLDER", PLACEHOLDER)
    program = _PROGRAM.replace("PLACEHOLDER", PLACEHOLDER)
    entries: list[Entry] = [File("share/greet/message.txt", b"hello")]
    gcc = shutil.which("gcc")
    if not gcc:
        binary = b"\x7fELF\0" + PLACEHOLDER.encode() + b"/share/greet\0tail\0"
        return [*entries, File("lib/libgreet.so.1.0", binary, 0o755, PLACEHOLDER, "binary")]
    (scratch / "greet.c").write_text(library)
    (scratch / "main.c").write_text(program)
    flags = ["-O1", "-s", "-ffile-prefix-map=.=", "-Wl,--build-id=none", "-Wl,--disable-new-dtags"]
    shared = [gcc, *flags, "-shared", "-fPIC", "-Wl,-soname,libgreet.so.1", "greet.c", "-o", "libgreet.so.1"]
    subprocess.run(shared, cwd=scratch, check=True)
    linked = [gcc, *flags, "main.c", "libgreet.so.1", "-Wl,-rpath,$ORIGIN/../lib", "-o", "greet"]
    subprocess.run(linked, cwd=scratch, check=True)
    return [
        *entries,
        File("bin/greet", scratch / "greet", 0o755, PLACEHOLDER, "binary"),
        File("lib/libgreet.so.1.0", scratch / "libgreet.so.1", 0o755, PLACEHOLDER, "binary"),
        Symlink("lib/libgreet.so.1", "libgreet.so.1.0"),
        Symlink("lib/libgreet.so", "libgreet.so.1"),
    ]


def _textprefix(_: Path) -> list[Entry]:
    shell = f"#!/bin/sh\nprefix={PLACEHOLDER}\necho $prefix\nls {PLACEHOLDER}/share/textprefix\n"
    python = f"#!{PLACEHOLDER}/bin/python\nimport sys\nprint(sys.prefix)\n"
    return [
        File("bin/where", shell.encode(), 0o755, PLACEHOLDER),
        File("bin/where-python", python.encode(), 0o755, PLACEHOLDER),
        File("share/textprefix/settings.ini", f"[paths]\nroot = {PLACEHOLDER}\n".encode(), placeholder=PLACEHOLDER),
        File("share/textprefix/editable.ini", f"root = {PLACEHOLDER}\n".encode(), 0o664, PLACEHOLDER, no_link=True),
    ]


def _xyzkernel(_: Path) -> list[Entry]:
    """Returns a kernel of another language, packaged like R's and Julia's."""
    spec: dict[str, object] = {
        "argv": [f"{PLACEHOLDER}/bin/xyz", "--connection", "{connection_file}"],
        "display_name": "XYZ",
    }
    spec |= {"language": "xyz", "env": {"XYZ_HOME": f"{PLACEHOLDER}/share/xyz"}}
    text = json.dumps(spec, indent=1).encode()
    return [
        File("bin/xyz", b'#!/bin/sh\nexec sleep "${XYZ_SECONDS:-1000}"\n', 0o755),
        File("share/jupyter/kernels/xyz/kernel.json", text, placeholder=PLACEHOLDER),
        File("share/jupyter/kernels/xyz/logo-64x64.png", b"\x89PNG\r\n\x1a\n"),
        File("share/xyz/startup.xyz", b"hello\n"),
    ]


def _postlink(_: Path) -> list[Entry]:
    link = b'#!/bin/sh\nmkdir -p "$PREFIX/share/postlink/empty"\n'
    link += b'echo "made for $PREFIX" > "$PREFIX/share/postlink/made.txt"\n'
    link += b'echo "$PKG_NAME $PKG_VERSION says hello" >> "$PREFIX/.messages.txt"\n'
    return [
        File("bin/.postlink-post-link.sh", link, 0o755),
        File("bin/.postlink-pre-unlink.sh", b'#!/bin/sh\nrm -rf "$PREFIX/share/postlink"\n', 0o755),
        File("share/postlink/shipped.txt", b"shipped\n"),
    ]


def _activation(_: Path) -> list[Entry]:
    up = b'export ACTIVATION_SEEN="$CONDA_PREFIX/share/activation"\nexport ACTIVATION_WORDS="two words"\n'
    return [
        File("etc/conda/activate.d/activation.sh", up),
        File("etc/conda/deactivate.d/activation.sh", b"unset ACTIVATION_SEEN ACTIVATION_WORDS\n"),
        File("etc/conda/env_vars.d/activation.json", b'{"ACTIVATION_JSON": "from env_vars.d"}\n'),
        File("share/activation/data.txt", b"data\n"),
    ]


def _clobber_a(_: Path) -> list[Entry]:
    return [File("share/clobber/same.txt", b"from a\n"), File("share/clobber/a.txt", b"a\n")]


def _clobber_b(_: Path) -> list[Entry]:
    return [File("share/clobber/same.txt", b"from b, longer\n"), File("share/clobber/b.txt", b"b\n")]


def _oddnames(_: Path) -> list[Entry]:
    """Returns files with odd names.

    A name that is not UTF-8 is impossible (`paths.json` is JSON), but a link's target can be.
    """
    names = ["new\nline", "tab\t", "snow \u96ea", "composed \u00e9", "decomposed e\u0301", " leading", "trailing "]
    names += [
        "-rf",
        "quote'\"`$(id)`;&|",
        "100%",
        "#comment",
        "star*?[a]",
        "colon:semi;",
        "n" * 250,
        "x/" * 60 + "deep",
    ]
    entries: list[Entry] = [File(f"share/oddnames/{name}", name.encode()) for name in names]
    return [
        *entries,
        File("share/oddnames/zero", b""),
        File("share/oddnames/run", b"#!/bin/sh\necho ran\n", 0o755),
        File("share/oddnames/readonly", b"read only\n", 0o444),
        File("share/oddnames/private", b"owner only\n", 0o600),
        File("share/oddnames/latin-1.txt", "caf\u00e9\n".encode("latin-1")),
        Symlink("share/oddnames/link", "run"),
        Symlink("share/oddnames/chain", "link"),
        Symlink("share/oddnames/up", "../plain/up.txt"),
        Symlink("share/oddnames/dangling", "nowhere"),
        Symlink("share/oddnames/absolute", "/etc/hostname"),
        Symlink("share/oddnames/folder", "x"),
        Symlink("share/oddnames/not-utf-8", "caf\udce9"),
        Folder("share/oddnames/empty"),
        File("share/plain/up.txt", b"up\n"),
    ]


def _plaindata(_: Path) -> list[Entry]:
    return [File(f"share/plaindata/{n}.csv", "".join(f"{i},{i * n}\n" for i in range(100)).encode()) for n in range(5)]


def _plaindata_elsewhere(_: Path) -> list[Entry]:
    return [File("share/credentialed/readme.txt", b"see about.json\n")]


def _changing_1_0(_: Path) -> list[Entry]:
    return [File("share/changing/version.txt", b"1.0\n"), File("share/changing/same.txt", b"same\n")]


def _changing_1_1(_: Path) -> list[Entry]:
    return [File("share/changing/version.txt", b"1.1\n"), File("share/changing/same.txt", b"same\n")]


def _templated(_: Path) -> list[Entry]:
    """Returns a noarch Python package with a template, which no Python compiles."""
    site = "site-packages/templated"
    info = "site-packages/templated-1.0.dist-info"
    record = "templated/__init__.py,,\ntemplated/program.py,,\ntemplated-1.0.dist-info/METADATA,,\n"
    return [
        File(f"{site}/__init__.py", b'__version__ = "1.0"\n'),
        File(f"{site}/program.py", b"def main():\n    print('templated runs')\n    return 0\n"),
        File(f"{site}/templates/module.py", b"print 'Python 2', {{ name }}\n"),
        File(f"{site}/templates/__init__.py", b""),
        File(f"{info}/METADATA", b"Metadata-Version: 2.1\nName: templated\nVersion: 1.0\n"),
        File(f"{info}/INSTALLER", b"conda\n"),
        File(f"{info}/RECORD", record.encode()),
        File("share/templated/data.txt", b"data outside site-packages\n"),
    ]
